"""Send usage records to where billing reads them, and only then free the money they were reserved from.

Records gather for a few milliseconds and leave as one message. While the broker is away they stay here, up to
a limit, and are sent again under the same message id.
"""

import asyncio
import logging
from collections import deque

import msgspec

from chat_relay.domain.leases import Reservation
from chat_relay.domain.ports import UsageSink
from common.contracts.errors import UnavailableError
from common.contracts.usage import UsageBatch, UsageRecord
from common.kit.ids import uuid7

_LOG = logging.getLogger(__name__)
GATHER_S = 0.005
MAX_BATCH = 500
_SENDERS = 4
_BACKOFF_S = (0.1, 0.2, 0.5, 1.0)


class UsagePublisher:
    """Holds at most `capacity` records that are not stored yet; `full` says that no more work may start."""

    def __init__(self, sink: UsageSink, replica: str, capacity: int) -> None:
        self._sink = sink
        self._replica = replica
        self._capacity = capacity
        self._records: deque[tuple[UsageRecord, Reservation]] = deque()
        self._unstored = 0
        self._timer: asyncio.TimerHandle | None = None
        self._senders: set[asyncio.Task[None]] = set()
        self._encoder = msgspec.msgpack.Encoder()

    @property
    def full(self) -> bool:
        """Whether new requests must be refused until records are stored."""
        return self._unstored >= self._capacity

    @property
    def unstored(self) -> int:
        """Records not yet acknowledged."""
        return self._unstored

    def add(self, record: UsageRecord, reservation: Reservation) -> None:
        """Send `record`; when it is stored, its reservation is settled at its cost."""
        self._records.append((record, reservation))
        self._unstored += 1
        if len(self._records) >= MAX_BATCH:
            self._send()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER_S, self._send)

    async def flush(self, timeout_s: float) -> int:
        """Wait until everything is stored, at most `timeout_s`; how many records are not."""
        self._send()
        try:
            async with asyncio.timeout(timeout_s):
                while self._senders:
                    await asyncio.wait(self._senders)
        except TimeoutError:
            for task in self._senders:
                task.cancel()
        return self._unstored

    def _send(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._records and len(self._senders) < _SENDERS:
            task = asyncio.create_task(self._drain(), name="usage")
            self._senders.add(task)
            task.add_done_callback(self._senders.discard)

    async def _drain(self) -> None:
        while self._records:
            batch = [self._records.popleft() for _ in range(min(MAX_BATCH, len(self._records)))]
            message = UsageBatch(self._replica, tuple(record for record, _ in batch))
            await self._store(uuid7(), self._encoder.encode(message))
            self._unstored -= len(batch)
            for record, reservation in batch:
                reservation.settle(record.cost_nano)

    async def _store(self, batch_id: str, data: bytes) -> None:
        attempt = 0
        while True:
            try:
                await self._sink.store(batch_id, data)
            except UnavailableError:
                if attempt == 0:
                    _LOG.warning("usage cannot be stored; %d records wait", self._unstored)
                await asyncio.sleep(_BACKOFF_S[min(attempt, len(_BACKOFF_S) - 1)])
                attempt += 1
            else:
                return
