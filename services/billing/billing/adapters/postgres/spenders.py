"""Spenders in PostgreSQL: their part of the ledger's transactions, and what is read of them."""

from collections.abc import Mapping, Sequence

import asyncpg
from sqlalchemy import text

from billing.domain.spenders import Spender
from common.contracts.principals import SpenderKind
from common.kit.db import Database

_SHOWN = text(
    "SELECT id::text, account::text, kind, period, timezone, window_start, used_nano, held_nano"
    " FROM spenders WHERE id = ANY(CAST(:ids AS uuid[]))"
)


_TERMS = (
    "budget_nano", "period", "timezone", "alert_percent", "max_charge_nano", "window_start", "used_nano",
    "held_nano", "alerted", "exhausted",
)  # fmt: skip
_READ = (
    f"SELECT id::text, account::text, kind, {', '.join(_TERMS)}"  # noqa: S608  names of our own
    " FROM spenders WHERE id = ANY($1::uuid[])"
)
_INSERT = """
    INSERT INTO spenders (id, account, kind) SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[])
    ON CONFLICT DO NOTHING
"""


async def read_spenders(
    driver: asyncpg.Connection, whose: Mapping[str, tuple[str, SpenderKind]]
) -> list[Spender]:
    """The spenders of these ids, made for (account, kind) if missing; the caller has locked the accounts."""
    ids = list(whose)
    rows: Sequence[asyncpg.Record] = await driver.fetch(_READ, ids) if ids else []
    if len(rows) < len(ids):
        missing = sorted(whose.keys() - {row[0] for row in rows})
        accounts = [whose[id_][0] for id_ in missing]
        await driver.execute(_INSERT, missing, accounts, [whose[id_][1] for id_ in missing])
        rows = await driver.fetch(_READ, ids)
    return [Spender(*row[:3], **dict(zip(_TERMS, row[3:], strict=True))) for row in rows]


class PostgresSpenders:
    """See domain.ports.SpenderReader."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, spenders: Sequence[str]) -> list[Spender]:
        """By primary key."""
        async with self._database.transaction() as connection:
            rows = await connection.execute(_SHOWN, {"ids": list(spenders)})
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
