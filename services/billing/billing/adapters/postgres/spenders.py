"""Spenders in PostgreSQL, read only."""

from collections.abc import Sequence

from sqlalchemy import text

from billing.domain.spenders import Spender
from common.kit.db import Database

_READ = text(
    "SELECT id::text, account::text, kind, period, timezone, window_start, used_nano, held_nano"
    " FROM spenders WHERE id = ANY(CAST(:ids AS uuid[]))"
)


class PostgresSpenders:
    """See domain.ports.SpenderReader."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, spenders: Sequence[str]) -> list[Spender]:
        """By primary key."""
        async with self._database.transaction() as connection:
            rows = await connection.execute(_READ, {"ids": list(spenders)})
            return [
                Spender(
                    row.id,
                    row.account,
                    row.kind,
                    period=row.period,
                    timezone=row.timezone,
                    window_start=row.window_start,
                    used_nano=row.used_nano,
                    held_nano=row.held_nano,
                )
                for row in rows
            ]
