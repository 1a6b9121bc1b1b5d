"""Replay from PostgreSQL: usage events out of the usage records, the others out of the kept log.

Indexes: billing_events (account, sequence) and (position), usage_records (account, sequence) and (position),
customers (account).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import RowMapping, text

from billing.adapters.postgres.positions import settled_position
from billing.adapters.postgres.usage import STORED, stored_charge
from billing.domain.usage import USAGE_RECORDED, usage_event
from billing.notices.domain.events import EventBody, EventStream, Head, Page, StoredEvent
from common.kit.db import Database

# From the row that has the event `after` on: the next one may be in it.
_BILLING_OF_ACCOUNT = text(
    "SELECT account::text AS account, position, created_at, events FROM billing_events"
    " WHERE billing_events.account = CAST(:account AS uuid) AND last > :after AND sequence >= coalesce("
    "(SELECT max(sequence) FROM billing_events"
    " WHERE account = CAST(:account AS uuid) AND sequence <= :after), 0)"
    " ORDER BY sequence LIMIT :limit"
)
_USAGE_OF_ACCOUNT = text(
    f"SELECT {STORED}, position FROM usage_records WHERE usage_records.account = CAST(:account AS uuid)"  # noqa: S608
    " AND sequence > :after ORDER BY sequence LIMIT :limit"
)
_BILLING_OF_ALL = text(
    "SELECT account::text AS account, position, created_at, events FROM billing_events"
    " WHERE position > :after AND position <= :settled ORDER BY position LIMIT :limit"
)
_USAGE_OF_ALL = text(
    f"SELECT {STORED}, position FROM usage_records"  # noqa: S608
    " WHERE position > :after AND position <= :settled ORDER BY position LIMIT :limit"
)
_HEAD = text(
    "SELECT account::text, usage_sequence, billing_sequence FROM customers"
    " WHERE account = CAST(:account AS uuid)"
)
_HEADS = text(
    "SELECT account::text, usage_sequence, billing_sequence FROM customers"
    " WHERE customers.account > CAST(:after AS uuid) ORDER BY customers.account LIMIT :limit"
)
# The name of a month's table says when it ends; the default one is left alone.
_OLD_MONTHS = text(
    "SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid"
    " WHERE i.inhparent = 'billing_events'::regclass AND c.relname ~ '^billing_events_[0-9]{4}_[0-9]{2}$'"
    " AND right(c.relname, 7) < :month ORDER BY c.relname"
)
_BODIES = msgspec.json.Decoder(list[msgspec.Raw])
_BODY = msgspec.json.Decoder(EventBody)


class PostgresEvents:
    """See domain.ports.EventLog."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_account(
        self, stream: EventStream, account: str, after: int, limit: int
    ) -> list[StoredEvent]:
        """See the port."""
        query: dict[str, object] = {"account": account, "after": after, "limit": limit}
        if stream == "usage":
            return [usage_of(row) for row in await self._rows(_USAGE_OF_ACCOUNT, query)]
        rows = await self._rows(_BILLING_OF_ACCOUNT, query)
        events = [event for row in rows for event in events_of(row) if event.sequence > after]
        return events[:limit]

    async def of_all(self, stream: EventStream, after: int, limit: int) -> Page:
        """See the port."""
        settled = await settled_position(self._database, after)
        query: dict[str, object] = {"after": after, "settled": settled, "limit": limit}
        if stream == "usage":
            rows = await self._rows(_USAGE_OF_ALL, query)
            events = [usage_of(row) for row in rows]
            return Page(events, rows[-1]["position"] if rows else settled)
        events = []
        for row in await self._rows(_BILLING_OF_ALL, query):
            events += events_of(row)
            if len(events) >= limit:
                return Page(events, row["position"])
        return Page(events, settled)

    async def heads(self, account: str | None, after: str, limit: int) -> list[Head]:
        """See the port."""
        statement = _HEADS if account is None else _HEAD
        query = {"after": after, "limit": limit} if account is None else {"account": account}
        async with self._database.transaction() as connection:
            return [Head(*row) for row in await connection.execute(statement, query)]

    async def prune(self, before: datetime) -> None:
        """See the port; dropping a month's table takes a lock for a moment and no row by row work."""
        async with self._database.transaction() as connection:
            await connection.execute(text("SET LOCAL lock_timeout = '1s'"))
            months = await connection.scalars(_OLD_MONTHS, {"month": f"{before:%Y_%m}"})
            for name in months.all():
                await connection.execute(
                    text(f"DROP TABLE {name}")
                )  # its characters are those of the pattern

    async def _rows(self, statement: Any, query: dict[str, object]) -> Sequence[RowMapping]:
        async with self._database.transaction() as connection:
            return (await connection.execute(statement, query)).mappings().all()


def usage_of(row: RowMapping) -> StoredEvent:
    """The usage event that was published for a record."""
    charge = stored_charge(row)
    record = charge.record
    return StoredEvent(
        record.id, USAGE_RECORDED, record.account, charge.sequence, row["posted_at"], usage_event(charge)
    )


def events_of(row: RowMapping) -> list[StoredEvent]:
    """The events of one row of the log."""
    events = []
    for body in _BODIES.decode(row["events"]):
        told = _BODY.decode(body)
        account, told_at = row["account"], row["created_at"]
        events.append(StoredEvent(told.id, told.type, account, told.sequence, told_at, bytes(body)))
    return events
