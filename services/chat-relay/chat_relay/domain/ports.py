"""What the relay needs from the outside; adapters implement these."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, runtime_checkable

from chat_relay.domain.channels import Channel
from chat_relay.domain.replays import Remembered
from common.contracts.leases import LeaseClose, LeaseClosed, LeaseGrant, LeaseRequest

RawHeaders = list[tuple[bytes, bytes]]


@runtime_checkable
class Billing(Protocol):
    """The other end of the lease protocol."""

    async def request_lease(self, request: LeaseRequest) -> LeaseGrant:
        """Raises UnavailableError, DeadlineError (outcome unknown) or billing's own refusal."""
        ...

    async def close_lease(self, request: LeaseClose) -> LeaseClosed:
        """As `request_lease`."""
        ...


@runtime_checkable
class UsageSink(Protocol):
    """Durable storage of usage batches."""

    async def store(self, batch_id: str, batch: bytes) -> None:
        """Return when the batch is stored; the same id is stored once. Raises UnavailableError otherwise."""
        ...


@runtime_checkable
class Answer(Protocol):
    """An upstream's answer, its body still to be read."""

    status: int
    headers: RawHeaders

    async def read(self) -> bytes:
        """The bytes that are there, at least one; empty at the end. Raises UpstreamGoneError or
        UpstreamTimeoutError.
        """
        ...

    async def read_all(self, limit_bytes: int) -> bytes:
        """The whole body; UpstreamGoneError also when it is over the limit."""
        ...

    async def finish(self) -> None:
        """Read the little that may be left, so that the connection can serve again; else close it."""
        ...

    def abort(self) -> None:
        """Close the connection now: the upstream stops working."""
        ...


@runtime_checkable
class Upstream(Protocol):
    """HTTP to upstreams."""

    async def post(self, url: str, headers: list[tuple[str, str]], body: bytes) -> Answer:
        """Raises UpstreamError when there is no connection, UpstreamTimeoutError when no status came."""
        ...


@runtime_checkable
class Client(Protocol):
    """The caller whose request is being answered."""

    @property
    def started(self) -> bool:
        """Whether status and headers were sent."""
        ...

    @property
    def gone(self) -> bool:
        """Whether the client is known to have left."""
        ...

    async def start(self, status: int, headers: RawHeaders) -> None:
        """Send status and headers."""
        ...

    def write(self, chunk: bytes) -> Awaitable[None]:
        """Send a piece of the body at once."""
        ...

    async def finish(self, chunk: bytes = b"") -> None:
        """Send the last piece."""
        ...

    def watch(self, on_gone: Callable[[], object]) -> None:
        """Call back once when the client leaves, until `unwatch`."""
        ...

    def unwatch(self) -> None:
        """Stop watching."""
        ...

    def has_left(self) -> bool:
        """Whether the client is gone by now; may not be used while watching."""
        ...


@runtime_checkable
class ReplayStore(Protocol):
    """Memory of requests by name for a day, the same for all replicas. All raise UnavailableError."""

    async def claim(self, name: str, first: Remembered) -> int | None:
        """Remember `first` unless something is: its revision, or None."""
        ...

    async def find(self, name: str) -> tuple[Remembered, int] | None:
        """What is remembered, and its revision."""
        ...

    async def replace(self, name: str, answer: Remembered, revision: int) -> int | None:
        """Put `answer` in the place of `revision`: the new revision, or None when it is no longer there."""
        ...

    async def forget(self, name: str, revision: int) -> None:
        """Remove `revision` if it is still there."""
        ...


@runtime_checkable
class ChannelStore(Protocol):
    """Where channels are kept, their keys encrypted."""

    async def all(self) -> Sequence[Channel]:
        """Every channel, by name."""
        ...

    async def page(self, after: str, limit: int) -> Sequence[Channel]:
        """At most `limit` channels whose names follow `after`."""
        ...

    async def add(self, channel: Channel) -> None:
        """Raises ChannelExistsError when the name is taken."""
        ...

    async def change(self, name: str, change: Callable[[Channel], Channel]) -> Channel:
        """Replace a channel by what `change` makes of it, in one transaction; ChannelNotFoundError."""
        ...

    async def put(self, channels: Sequence[Channel]) -> int:
        """Make these channels be exactly so; how many were not already."""
        ...

    async def remove(self, name: str) -> None:
        """Raises ChannelNotFoundError."""
        ...


@runtime_checkable
class ChannelNotices(Protocol):
    """Tells the other replicas that the channel table changed."""

    async def channels_changed(self) -> None:
        """Best effort: who misses it reads the table again within `channels_reload_s`."""
        ...
