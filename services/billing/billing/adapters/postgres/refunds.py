"""Refunds of charges in PostgreSQL."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import asyncpg

from billing.adapters.postgres.copy import copy_rows
from billing.domain.refunds import Refunded, RefundedCharge

_COLUMNS = ("id", "record", "account", "amount_nano", "free_nano", "reason", "posted_at")
_READ = """
    SELECT record::text, sum(amount_nano)::bigint, sum(free_nano)::bigint
    FROM charge_refunds WHERE record = ANY($1::uuid[]) GROUP BY record
"""


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
