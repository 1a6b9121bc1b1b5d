"""Housekeeping of leases in PostgreSQL: which are due, and which are history."""

from datetime import datetime

from sqlalchemy import text

from common.kit import outbox
from common.kit.db import Database

_DUE = text(
    "SELECT id::text FROM leases WHERE state <> 'expired' AND expires_at <= :cutoff"
    " AND (state = 'open' OR spent_nano + returned_nano < granted_nano) ORDER BY expires_at LIMIT :limit"
)
_PRUNE = text(
    "DELETE FROM leases WHERE state <> 'open' AND spent_nano + returned_nano = granted_nano"
    " AND expires_at < :before"
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
        async with self._database.transaction() as connection:
            await connection.execute(_PRUNE, {"before": before})
            await outbox.prune_inbox(connection, inbox_days)

    async def create_partitions(self, months: int) -> None:
        """Make the tables for this month and the `months` after it."""
        async with self._database.transaction() as connection:
            await connection.execute(text("SELECT create_partitions(:months)"), {"months": months})
