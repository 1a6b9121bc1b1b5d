"""Leases in PostgreSQL: their part of the ledger's transactions, which are due, and which are history."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
from sqlalchemy import text

from billing.adapters.postgres.copy import RowInsert
from billing.adapters.postgres.inbox import USAGE_INBOX
from billing.domain.leases import Lease
from common.kit.db import Database

_TERMS = ("granted_nano", "spent_nano", "returned_nano", "sequence", "answer", "state")
_READ = """
    SELECT id::text, replica, account::text, spender::text, expires_at, granted_nano, spent_nano,
        returned_nano, sequence, last_answer, state
    FROM leases WHERE id = ANY($1::uuid[])
"""
LEASE_INSERT = RowInsert(
    "leases",
    {
        "id": "uuid",
        "replica": "text",
        "account": "uuid",
        "spender": "uuid",
        "granted_nano": "bigint",
        "spent_nano": "bigint",
        "returned_nano": "bigint",
        "sequence": "bigint",
        "last_answer": "bytea",
        "state": "text",
        "opened_at": "timestamptz",
        "expires_at": "timestamptz",
    },
)
_DUE = text("SELECT id::text FROM leases WHERE due_at <= :cutoff ORDER BY due_at LIMIT :limit")
# Ids of leases and usage are UUIDv7: the old ones lie together in the primary key, and the row's own time
# keeps one of another kind from being forgotten too early.
_PRUNE_LEASES = text(
    "DELETE FROM leases WHERE id = ANY(ARRAY(SELECT l.id FROM leases AS l WHERE l.id < CAST(:oldest AS uuid)"
    " AND l.state <> 'open' AND l.spent_nano + l.returned_nano = l.granted_nano AND l.expires_at < :before"
    " ORDER BY l.id LIMIT :limit))"
)
_PRUNE_INBOX = text(
    "DELETE FROM inbox WHERE consumer = :consumer AND id IN (SELECT id FROM inbox WHERE consumer = :consumer"
    " AND id < CAST(:oldest AS uuid) AND received_at < now() - make_interval(days => :days)"
    " ORDER BY id LIMIT :limit)"
)


async def read_leases(driver: asyncpg.Connection, ids: Collection[str]) -> list[Lease]:
    """Those of `ids` that there are; the caller has locked their customers."""
    rows: Sequence[asyncpg.Record] = await driver.fetch(_READ, list(ids)) if ids else []
    return [Lease(*row[:5], **dict(zip(_TERMS, row[5:], strict=True))) for row in rows]


def lease_row(lease: Lease, now: datetime) -> tuple[object, ...]:
    """A new lease for LEASE_INSERT."""
    return (
        lease.id,
        lease.replica,
        lease.account,
        lease.spender,
        lease.granted_nano,
        lease.spent_nano,
        lease.returned_nano,
        lease.sequence,
        lease.answer,
        lease.state,
        now,
        lease.expires_at,
    )


class PostgresLeases:
    """See domain.ports.LeaseKeeper."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def due(self, cutoff: datetime, limit: int) -> tuple[str, ...]:
        """Leases that had expired by `cutoff` and still hold or may take money; oldest first."""
        async with self._database.transaction() as connection:
            rows = await connection.execute(_DUE, {"cutoff": cutoff, "limit": limit})
            return tuple(row[0] for row in rows)

    async def prune(self, before: datetime, inbox_days: int) -> None:
        """Forget leases settled before `before`, and usage ids older than `inbox_days`."""
        oldest = str(UUID(int=int(before.timestamp() * 1000) << 80))
        inbox = {"consumer": USAGE_INBOX, "oldest": oldest, "days": inbox_days}
        await self._database.delete(_PRUNE_LEASES, {"oldest": oldest, "before": before})
        await self._database.delete(_PRUNE_INBOX, inbox)

    async def create_partitions(self, months: int) -> None:
        """Make the tables for this month and the `months` after it."""
        async with self._database.transaction() as connection:
            await connection.execute(text("SELECT create_partitions(:months)"), {"months": months})
