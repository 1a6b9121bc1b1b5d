"""Deliver webhooks: make deliveries of events, attempt what is due, disable what is hopeless."""

import asyncio
import logging
from contextlib import suppress

from billing.domain.ports import Clock, Writer
from billing.notices.domain.deliveries import GONE, Due, Outcome, is_hopeless
from billing.notices.domain.ports import DeliveryQueue, Send
from billing.notices.domain.webhooks import Disable, signature
from common.contracts.errors import ServiceError
from common.kit.ids import named_id
from common.kit.tasks import end_tasks

_LOG = logging.getLogger(__name__)
MAX_UNDER_WAY = 256
"""Attempts of one replica at a time."""


class Deliverer:
    """One per replica. What it has claimed when it is killed comes due again when the lease is over."""

    def __init__(
        self, queue: DeliveryQueue, send: Send, writer: Writer, clock: Clock, interval_s: float
    ) -> None:
        self._queue = queue
        self._send = send
        self._writer = writer
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

    async def _attempt(self, due: Due) -> None:
        headers = signature(due.event, self._clock(), due.body, due.secrets)
        outcome = await self._send(due.endpoint.url, headers, due.body)
        now = self._clock()
        failing_since = await self._queue.settle(due, outcome, now)
        if failing_since is not None and is_hopeless(outcome, failing_since, now):
            await self._disable(due, outcome, failing_since.isoformat())

    async def _disable(self, due: Due, outcome: Outcome, run: str) -> None:
        """Tell first, by an id of this run of failures: a crash before the next line repeats both."""
        endpoint = due.endpoint
        reason = "gone" if outcome.response_code == GONE else "failing"
        event = named_id("webhook-disabled", endpoint.id, run)
        with suppress(ServiceError):  # the next failure tries again
            await self._writer.submit(Disable(endpoint.id, endpoint.account, endpoint.url, reason, event))
            await self._queue.disable(endpoint.id, reason)
            _LOG.warning("webhooks: %s is disabled: %s", endpoint.id, reason)
