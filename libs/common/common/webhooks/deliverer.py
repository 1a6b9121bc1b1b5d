"""Attempts the deliveries that are due, some at a time, and disables endpoints that are hopeless."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from common.kit.tasks import end_tasks
from common.webhooks.attempts import Outcome, is_hopeless
from common.webhooks.signatures import Secret, signature

_LOG = logging.getLogger(__name__)
MAX_UNDER_WAY = 256
"""Attempts of one replica at a time."""
Send = Callable[[str, dict[str, str], bytes], Awaitable[Outcome]]
"""POST the body with the headers to the URL; it never raises for what the receiver does."""


class Attempt(Protocol):
    """A delivery that this replica may attempt, and nobody else until its lease is over."""

    @property
    def event(self) -> str:
        """What the receiver knows it by, however often it comes."""
        ...

    @property
    def url(self) -> str:
        """Where to."""
        ...

    @property
    def body(self) -> bytes:
        """What."""
        ...

    @property
    def secrets(self) -> Sequence[Secret]:
        """What signs it."""
        ...


AttemptT = TypeVar("AttemptT", bound=Attempt)


class Queue(Protocol[AttemptT]):
    """What is to be delivered, shared by all replicas."""

    async def fan_out(self, now: datetime) -> int:
        """Make deliveries of what happened since the last call, each exactly once."""
        ...

    async def claim(self, now: datetime, limit: int) -> list[AttemptT]:
        """Up to `limit` deliveries that are due, oldest first at each endpoint and a few of each."""
        ...

    async def settle(self, due: AttemptT, outcome: Outcome, now: datetime) -> datetime | None:
        """Keep the outcome, unless the lease was lost; the answer is since when the endpoint fails, if so."""
        ...


class Deliverer(Generic[AttemptT]):
    """One per replica. What it has claimed when it is killed comes due again when the lease is over.

    `disable` ends the endpoint of a delivery that failed so, and has failed since then.
    """

    def __init__(
        self,
        queue: Queue[AttemptT],
        send: Send,
        disable: Callable[[AttemptT, Outcome, datetime], Awaitable[None]],
        clock: Callable[[], datetime],
        interval_s: float,
    ) -> None:
        self._queue = queue
        self._send = send
        self._disable = disable
        self._clock = clock
        self._interval_s = interval_s
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """For ever: look for new events and for what is due, every interval and after each attempt."""
        try:
            while True:
                self._wake.clear()
                try:
                    await self._queue.fan_out(self._clock())
                    await self._begin()
                except Exception as error:  # noqa: BLE001  database away: the next round does it
                    _LOG.warning("webhooks: %r", error)
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._interval_s):
                        await self._wake.wait()
        finally:
            await end_tasks(*self._tasks)

    async def _begin(self) -> None:
        free = MAX_UNDER_WAY - len(self._tasks)
        if free <= 0:
            return
        for due in await self._queue.claim(self._clock(), free):
            task = asyncio.create_task(self._attempt(due))
            self._tasks.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            if (error := task.exception()) is not None:
                _LOG.warning("webhooks: an attempt is repeated: %r", error)
            else:
                self._wake.set()

    async def _attempt(self, due: AttemptT) -> None:
        headers = signature(due.event, self._clock(), due.body, due.secrets)
        outcome = await self._send(due.url, headers, due.body)
        now = self._clock()
        failing_since = await self._queue.settle(due, outcome, now)
        if failing_since is not None and is_hopeless(outcome, failing_since, now):
            await self._disable(due, outcome, failing_since)
