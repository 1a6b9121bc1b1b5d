"""Transactional outbox: an event exists exactly when its fact does.

Events are CloudEvents 1.0 in NATS binary mode: attributes as `ce-*` headers, JSON body, `Nats-Msg-Id` = id.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from common.contracts.errors import UnavailableError
from common.kit.bus import Bus
from common.kit.db import Database
from common.kit.metrics import EVENTS_PUBLISHED, OUTBOX_PENDING
from common.kit.tasks import end_tasks

_LOG = logging.getLogger(__name__)

# A row is a packet: the events of one transaction as JSON, so that each costs a fraction of a row of its own.
# Compressing what lives for milliseconds would cost more than all the rest.
OUTBOX_DDL = """
CREATE TABLE outbox (
    position   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    events     text STORAGE EXTERNAL NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
)
"""
INSERT_PACKETS = "INSERT INTO outbox (events, created_at) SELECT unnest($1::text[]), $2"
"""For who writes through asyncpg; its parameters are `packets(events)` and when they happened (`ce-time`)."""
_PACKET = 250
_PACKETS_AT_ONCE = 8
_ROUND_S = 0.05  # a round costs the same however much it publishes; after a pause it begins at once
_LOCK_ID = 0x6F757462  # "outb": one replica publishes at a time, so that an account's events stay in order
_APPEND = text("INSERT INTO outbox (events) SELECT unnest(CAST(:packets AS text[]))")
# Forgetting a packet need not wait for the disk: one that comes back after a crash is dropped by its ids.
_LOCK = "SELECT pg_try_advisory_xact_lock($1) AND set_config('synchronous_commit', 'off', true) IS NOT NULL"
_READ = "SELECT position, events, created_at FROM outbox ORDER BY position LIMIT $1"
_DELETE = "DELETE FROM outbox WHERE position = ANY($1::bigint[])"
_REPLACE = "UPDATE outbox SET events = $2 WHERE position = $1"


class OutboxEvent(msgspec.Struct, frozen=True, gc=False):
    """One event to publish: `payload` is the JSON of a tagged contract Struct."""

    id: str
    subject: str
    sequence: int
    payload: bytes
    traceparent: str = ""


class _Stored(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An event in its packet: the payload is JSON within JSON."""

    id: str
    subject: str
    sequence: int
    payload: msgspec.Raw
    traceparent: str


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(list[_Stored])


def packets(events: Sequence[OutboxEvent]) -> list[str]:
    """The events, in order, as rows of the table."""
    stored = [
        _Stored(event.id, event.subject, event.sequence, msgspec.Raw(event.payload), event.traceparent)
        for event in events
    ]
    starts = range(0, len(stored), _PACKET)
    return [_ENCODER.encode(stored[start : start + _PACKET]).decode() for start in starts]


async def append(connection: AsyncConnection, events: Sequence[OutboxEvent]) -> None:
    """Write events in the caller's transaction, in order.

    Events of one account keep their order only if the caller holds that account's lock when it appends.
    """
    if events:
        await connection.execute(_APPEND, {"packets": packets(events)})


class OutboxPublisher:
    """Publishes the outbox in order; a crash repeats events with the same id, which JetStream drops.

    Each public stream is fed by one outbox only and is named by the first token of its subjects. Its events
    go in chains of up to `batch` with one acknowledgement (see Bus.publish_chain): when one is lost with the
    connection, those behind it are refused instead of overtaking it, and the chain is sent again.
    """

    def __init__(self, database: Database, bus: Bus, source: str, batch: int = 1000) -> None:
        self._database = database
        self._bus = bus
        self._source = f"/tollway/{source}"
        self._batch = batch
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def notify(self) -> None:
        """Call after a commit that appended events."""
        self._wake.set()

    async def start(self) -> None:
        """Begin publishing."""
        self._task = asyncio.create_task(self._run(), name="outbox")

    async def stop(self) -> None:
        """Stop; what is unpublished stays in the table for the next start."""
        if self._task is not None:
            await end_tasks(self._task)

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            next_s = asyncio.get_running_loop().time() + _ROUND_S
            try:
                emptied = await self._publish_packets()
            except Exception as error:  # noqa: BLE001  database or broker away: say so and try again
                _LOG.warning("outbox: %r", error)
                emptied = True
            if emptied:
                # Other replicas' rows do not wake this one, so it also looks twice a second.
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.5):
                        await self._wake.wait()
                await asyncio.sleep(next_s - asyncio.get_running_loop().time())

    async def _publish_packets(self) -> bool:
        """Whether nothing more is to be done now: all is published, or somebody else is at it."""
        async with self._database.driver_transaction() as driver:
            if not await driver.fetchval(_LOCK, _LOCK_ID):
                return True
            rows = await driver.fetch(_READ, _PACKETS_AT_ONCE)
            read = [(row[0], _DECODER.decode(row[1]), row[2].astimezone(UTC).isoformat()) for row in rows]
            waiting = [(event, time) for _, events, time in read for event in events]
            OUTBOX_PENDING.set(len(waiting))
            if not waiting:
                return True
            left = await self._publish(waiting)
            done = []
            for position, events, _ in read:
                rest = [event for event in events if event.id in left]
                if not rest:
                    done.append(position)
                elif len(rest) < len(events):
                    await driver.execute(_REPLACE, position, _ENCODER.encode(rest).decode())
            await driver.execute(_DELETE, done)
        EVENTS_PUBLISHED.inc(len(waiting) - len(left))
        OUTBOX_PENDING.set(len(left))
        return len(rows) < _PACKETS_AT_ONCE or bool(left)

    async def _publish(self, waiting: Sequence[tuple[_Stored, str]]) -> set[str]:
        """The ids of those that JetStream did not acknowledge; they are tried again."""
        if not self._bus.client.is_connected:
            raise UnavailableError("NATS is not connected.")
        streams: dict[str, list[tuple[_Stored, str]]] = {}
        for item in waiting:
            streams.setdefault(item[0].subject.partition(".")[0], []).append(item)
        left: set[str] = set()
        for stream, events in streams.items():
            for start in range(0, len(events), self._batch):
                messages = [
                    (event.subject, event.id, self._lines(event, time), bytes(event.payload))
                    for event, time in events[start : start + self._batch]
                ]
                try:
                    await self._bus.publish_chain(messages)
                except UnavailableError as error:
                    _LOG.warning("outbox: %d of %s not stored: %s", len(messages), stream, error.message)
                    left.update(event.id for event, _ in events[start:])
                    break
        return left

    def _lines(self, event: _Stored, time: str) -> str:
        # One string, since a dict costs as much as all the rest of an event.
        event_type, _, entity = event.subject.rpartition(".")
        trace = f"traceparent: {event.traceparent}\r\n" if event.traceparent else ""
        return (
            f"Content-Type: application/json\r\nce-specversion: 1.0\r\nce-id: {event.id}\r\n"
            f"ce-source: {self._source}\r\nce-type: {event_type}\r\nce-subject: {entity}\r\n"
            f"ce-time: {time}\r\nce-sequence: {event.sequence:020d}\r\n{trace}"
        )
