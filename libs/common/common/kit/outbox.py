"""Transactional outbox and inbox: an event exists exactly when its fact does, and is applied once.

Events are CloudEvents 1.0 in NATS binary mode: attributes as `ce-*` headers, JSON body, `Nats-Msg-Id` = id.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC
from typing import Any

import msgspec
from nats.js.api import PubAck
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from common.contracts.errors import UnavailableError
from common.kit.bus import Bus
from common.kit.db import Database
from common.kit.metrics import EVENTS_PUBLISHED, OUTBOX_PENDING
from common.kit.tasks import end_tasks

_LOG = logging.getLogger(__name__)

OUTBOX_DDL = """
CREATE TABLE outbox (
    position    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id          uuid NOT NULL,
    subject     text NOT NULL,
    sequence    bigint NOT NULL,
    payload     bytea NOT NULL,
    traceparent text NOT NULL DEFAULT '',
    created_at  timestamptz NOT NULL DEFAULT now()
)
"""
INBOX_DDL = """
CREATE TABLE inbox (
    consumer    text NOT NULL,
    id          uuid NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, id)
)
"""
_ACK_TIMEOUT_S = 5
_LOCK_ID = 0x6F757462  # "outb": one replica publishes at a time, so that an account's events stay in order
_APPEND = text(
    "INSERT INTO outbox (id, subject, sequence, payload, traceparent) "
    "SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:subjects AS text[]), CAST(:sequences AS bigint[]),"
    " CAST(:payloads AS bytea[]), CAST(:traceparents AS text[]))"
)
_READ = text(
    "SELECT position, id, subject, sequence, payload, traceparent, created_at FROM outbox"
    " ORDER BY position LIMIT :limit"
)
_DELETE = text("DELETE FROM outbox WHERE position = ANY(CAST(:positions AS bigint[]))")
_CLAIM = text(
    "INSERT INTO inbox (consumer, id) SELECT :consumer, unnest(CAST(:ids AS uuid[]))"
    " ON CONFLICT DO NOTHING RETURNING id"
)
_PRUNE = text("DELETE FROM inbox WHERE received_at < now() - make_interval(days => :days)")


class OutboxEvent(msgspec.Struct, frozen=True):
    """One event to publish: `payload` is the JSON of a tagged contract Struct."""

    id: str
    subject: str
    sequence: int
    payload: bytes
    traceparent: str = ""


async def append(connection: AsyncConnection, events: Sequence[OutboxEvent]) -> None:
    """Write events in the caller's transaction, in order.

    Events of one account keep their order only if the caller holds that account's lock when it appends.
    """
    if not events:
        return
    await connection.execute(
        _APPEND,
        {
            "ids": [event.id for event in events],
            "subjects": [event.subject for event in events],
            "sequences": [event.sequence for event in events],
            "payloads": [event.payload for event in events],
            "traceparents": [event.traceparent for event in events],
        },
    )


async def claim(connection: AsyncConnection, consumer: str, ids: Iterable[str]) -> set[str]:
    """The ids this consumer sees for the first time; claimed in the caller's transaction."""
    rows = await connection.execute(_CLAIM, {"consumer": consumer, "ids": list(ids)})
    return {str(row.id) for row in rows}


async def prune_inbox(connection: AsyncConnection, days: int) -> None:
    """Forget ids older than `days`; keep them longer than the stream keeps its messages."""
    await connection.execute(_PRUNE, {"days": days})


class OutboxPublisher:
    """Publishes the outbox in order; a crash repeats events with the same id, which JetStream drops.

    Each public stream is fed by one outbox only and is named by the first token of its subjects. Its events
    are stored as one atomic batch. When that is refused, because an earlier attempt whose answer was lost
    stored some of them, they go one by one, each naming the one before it (`Nats-Expected-Last-Msg-Id`), so
    that when one is lost with the connection those behind it are refused instead of overtaking it.
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
            try:
                published = await self._publish_batch()
            except Exception as error:  # noqa: BLE001  database or broker away: say so and try again
                _LOG.warning("outbox: %r", error)
                published = 0
            if published < self._batch:
                # Other replicas' rows do not wake this one, so it also looks twice a second.
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.5):
                        await self._wake.wait()

    async def _publish_batch(self) -> int:
        async with self._database.transaction() as connection:
            locked = await connection.scalar(text("SELECT pg_try_advisory_xact_lock(:id)"), {"id": _LOCK_ID})
            if not locked:
                return 0
            rows = (await connection.execute(_READ, {"limit": self._batch})).all()
            OUTBOX_PENDING.set(len(rows))
            if not rows:
                return 0
            stored = await self._publish_together(rows)
            if len(stored) < len(rows):
                done = set(stored)
                stored += await self._publish([row for row in rows if row.position not in done])
            await connection.execute(_DELETE, {"positions": stored})
        EVENTS_PUBLISHED.inc(len(stored))
        OUTBOX_PENDING.dec(len(stored))
        return len(stored)

    async def _publish_together(self, rows: Sequence[Row[Any]]) -> list[int]:
        """The positions of the rows of those streams that took theirs as one batch."""
        if not self._bus.client.is_connected:
            raise UnavailableError("NATS is not connected.")
        streams: dict[str, list[Row[Any]]] = {}
        for row in rows:
            streams.setdefault(row.subject.partition(".")[0], []).append(row)
        stored: list[int] = []
        for batch in streams.values():
            messages = [(row.subject, self._headers(row), row.payload) for row in batch]
            if await self._bus.publish_batch(messages):
                stored += [row.position for row in batch]
        return stored

    async def _publish(self, rows: Sequence[Row[Any]]) -> list[int]:
        """The positions of the rows that JetStream stored; the others are tried again."""
        if not self._bus.client.is_connected:
            raise UnavailableError("NATS is not connected.")
        acks: list[asyncio.Future[PubAck]] = []
        last_ids: dict[str, str] = {}
        try:
            for row in rows:
                headers = self._headers(row)
                stream = row.subject.partition(".")[0]
                if stream in last_ids:
                    headers["Nats-Expected-Last-Msg-Id"] = last_ids[stream]
                last_ids[stream] = str(row.id)
                publish = self._bus.jetstream.publish_async(row.subject, row.payload, headers=headers)
                acks.append(await publish)
            await asyncio.wait(acks, timeout=_ACK_TIMEOUT_S)
        finally:
            for ack in acks:
                ack.cancel()  # nats-py never gives up an ack that got lost; nothing happens to a done one
        failures = ["no ack" if ack.cancelled() else ack.exception() for ack in acks]
        stored = [row.position for row, failure in zip(rows, failures, strict=True) if failure is None]
        if len(stored) < len(rows):
            reason = next(failure for failure in failures if failure)
            _LOG.warning("outbox: %d of %d events not stored: %r", len(rows) - len(stored), len(rows), reason)
        return stored

    def _headers(self, row: Row[Any]) -> dict[str, str]:
        event_id = str(row.id)
        event_type, _, entity = row.subject.rpartition(".")
        headers = {
            "Nats-Msg-Id": event_id,
            "Content-Type": "application/json",
            "ce-specversion": "1.0",
            "ce-id": event_id,
            "ce-source": self._source,
            "ce-type": event_type,
            "ce-subject": entity,
            "ce-time": row.created_at.astimezone(UTC).isoformat(),
            "ce-sequence": f"{row.sequence:020d}",
        }
        if row.traceparent:
            headers["traceparent"] = row.traceparent
        return headers
