"""Refunds of charges in PostgreSQL."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import asyncpg
from sqlalchemy import text

from billing.adapters.postgres.copy import copy_rows
from billing.domain.refunds import Refunded, RefundedCharge
from common.kit.db import Database

_COLUMNS = ("id", "record", "account", "amount_nano", "free_nano", "reason", "posted_at")
_SUMS = "SELECT record::text, sum(amount_nano)::bigint, sum(free_nano)::bigint FROM charge_refunds"
_READ = f"{_SUMS} WHERE record = ANY($1::uuid[]) GROUP BY record"
_ONE = text(f"{_SUMS} WHERE record = CAST(:record AS uuid) GROUP BY record")


async def read_refunded(driver: asyncpg.Connection, records: Iterable[str]) -> dict[str, Refunded]:
    """What was given back of each record so far; the caller has locked their customers."""
    rows = await driver.fetch(_READ, list(records))
    return {record: Refunded(amount, free) for record, amount, free in rows}


async def insert_refunds(
    driver: asyncpg.Connection, refunds: Sequence[RefundedCharge], now: datetime
) -> None:
    """Write the refunds of one transaction."""
    if refunds:
        rows = [
            (row.id, row.record, row.account, row.amount_nano, row.free_nano, row.reason, now)
            for row in refunds
        ]
        await copy_rows(driver, "charge_refunds", _COLUMNS, rows)


class PostgresRefunds:
    """See domain.ports.RefundReader."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def refunded(self, record: str) -> int:
        """Nano-USD given back of the record so far."""
        async with self._database.transaction() as connection:
            row = (await connection.execute(_ONE, {"record": record})).first()
        return 0 if row is None else row[1]
