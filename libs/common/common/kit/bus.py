"""NATS: one connection per service, streams declared at start, patient through broker restarts."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from urllib.parse import urlsplit

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError

from common.contracts.errors import UnavailableError
from common.contracts.streams import Stream

_LOG = logging.getLogger(__name__)
_RETRY_S = 0.5


class Bus:
    """A connection that reconnects for ever. `client` and `jetstream` are nats-py's own objects."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.jetstream: JetStreamContext = client.jetstream(timeout=5, publish_async_max_pending=8000)
        self._on_reconnect: list[Callable[[], Awaitable[None]]] = []
        self._callbacks: set[asyncio.Task[None]] = set()

    @classmethod
    async def connect(cls, url: str, name: str, timeout_s: float = 30) -> "Bus":
        """Connect, waiting up to `timeout_s` for a broker that is still starting; UnavailableError after."""
        client = Client()
        bus = cls(client)

        async def on_error(error: Exception) -> None:
            _LOG.warning("nats: %s", str(error) or type(error).__name__)

        async def on_reconnected() -> None:
            _LOG.info("nats: reconnected")
            bus.reconnected()

        try:
            async with asyncio.timeout(timeout_s):
                await client.connect(
                    url,
                    name=name,
                    inbox_prefix=_inbox_prefix(url),
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=0.2,  # type: ignore[arg-type]  # it sleeps so long
                    ping_interval=5,
                    max_outstanding_pings=2,
                    error_cb=on_error,
                    reconnected_cb=on_reconnected,
                )
        except TimeoutError:
            raise UnavailableError(f"NATS did not answer within {timeout_s:g} s.") from None
        return bus

    def on_reconnect(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Call back after every reconnection, again until it does not raise: core messages sent meanwhile
        were missed.
        """
        self._on_reconnect.append(callback)

    def reconnected(self) -> None:
        """Start the callbacks; for the connection itself."""
        # In tasks of their own: an exception in nats-py's callback ends its reconnecting for ever.
        for callback in self._on_reconnect:
            task = asyncio.create_task(_until_done(callback))
            self._callbacks.add(task)
            task.add_done_callback(self._callbacks.discard)

    async def ping(self) -> None:
        """Raise unless the broker answers now."""
        if not self.client.is_connected:
            raise UnavailableError("NATS is not connected.")
        await self.client.flush(timeout=2)

    async def flush(self) -> None:
        """Return when the broker has seen everything sent so far, subscriptions above all."""
        # nats-py writes its PING ahead of what waits in its buffer; the second round trip follows the buffer.
        await self.client.flush()
        await self.client.flush()

    async def ensure_streams(self, streams: Iterable[Stream], replicas: int = 1) -> None:
        """Create the streams and give them their subjects; the same call from every replica is harmless.

        What an operator changed besides subjects (age, replicas) stays.
        """
        for stream in streams:
            config = StreamConfig(
                name=stream.name,
                subjects=list(stream.subjects),
                retention=RetentionPolicy.LIMITS,
                storage=StorageType.FILE,
                max_age=stream.max_age_s,
                duplicate_window=stream.duplicate_window_s,
                num_replicas=replicas,
            )
            try:
                info = await self.jetstream.stream_info(stream.name)
            except NotFoundError:
                await self.jetstream.add_stream(config)
            else:
                if sorted(info.config.subjects or ()) != sorted(stream.subjects):
                    changed = info.config.evolve(subjects=list(stream.subjects))
                    await self.jetstream.update_stream(changed)

    async def publish(
        self, subject: str, data: bytes, headers: dict[str, str] | None = None, timeout_s: float = 5
    ) -> None:
        """Publish to JetStream and wait until it is stored; raises UnavailableError otherwise."""
        try:
            await self.jetstream.publish(subject, data, headers=headers, timeout=timeout_s)
        except (NatsError, TimeoutError, OSError) as error:
            raise UnavailableError("The event stream is away.") from error

    async def publish_chain(
        self, messages: Sequence[tuple[str, str, str, bytes]], timeout_s: float = 5
    ) -> None:
        """Store messages (subject, id, more header lines, payload) in order, one acknowledgement for all.

        Nobody else may feed their stream. Each names the `Nats-Msg-Id` of the one before it, and the broker
        refuses what is behind a lost one: when it has the last it has them all. UnavailableError otherwise;
        the first ones may be stored then, and are dropped when the chain is sent again.
        """
        # One command for all: nats-py's publish costs twenty times as much per message, and its own
        # acknowledgement as much again.
        frames: list[bytes] = []
        after = ""
        for subject, id_, lines, payload in messages[:-1]:
            head = f"NATS/1.0\r\nNats-Msg-Id: {id_}\r\n{after}{lines}\r\n".encode()
            after = f"Nats-Expected-Last-Msg-Id: {id_}\r\n"
            frames.append(
                b"HPUB %b %d %d\r\n%b%b\r\n"
                % (subject.encode(), len(head), len(head) + len(payload), head, payload)
            )
        subject, id_, lines, payload = messages[-1]
        last = f"Nats-Msg-Id: {id_}\r\n{after}{lines}".removesuffix("\r\n")
        headers = dict(line.split(": ", 1) for line in last.split("\r\n"))
        try:
            await self.client._send_command(b"".join(frames))  # noqa: SLF001
            answer = await self.client.request(subject, payload, timeout=timeout_s, headers=headers)
            failure = msgspec.json.decode(answer.data).get("error")
        except (NatsError, TimeoutError, OSError, msgspec.DecodeError) as error:
            raise UnavailableError("The event stream is away.") from error
        if failure:
            raise UnavailableError(f"The event stream refused: {failure.get('description')}.")

    async def subscribe(self, subject: str, callback: Callable[[Msg], Awaitable[None]]) -> None:
        """Core subscription: from now on every replica gets every message while it is connected."""
        await self.client.subscribe(subject, cb=callback)
        await self.flush()  # the broker knows of it, so what others send next is not missed

    async def close(self) -> None:
        """Send what is buffered and close; a broker that is away is not waited for."""
        for task in self._callbacks:
            task.cancel()
        if not self.client.is_connected:
            await self.client.close()
            return
        try:
            async with asyncio.timeout(5):
                await self.client.flush(timeout=1)  # a broker that just died leaves what seems a connection
                await self.client.drain()
        except (NatsError, TimeoutError, OSError) as error:
            _LOG.warning("nats: closed without draining: %r", error)
            await self.client.close()


async def _until_done(callback: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await callback()
        except Exception as error:  # noqa: BLE001  whatever failed, the message that was missed stays missed
            _LOG.warning("nats: a callback after reconnection is tried again: %r", error)
            await asyncio.sleep(_RETRY_S)
        else:
            return


def _inbox_prefix(url: str) -> str:
    # Each user hears replies on inboxes of its own, so that permissions can keep them from the others.
    user = urlsplit(url).username
    return f"_INBOX_{user}" if user else "_INBOX"
