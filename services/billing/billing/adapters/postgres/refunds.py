"""Refunds of charges in PostgreSQL."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import asyncpg

from billing.adapters.postgres.copy import copy_rows
from billing.domain.refunds import Refunded, RefundedCharge

_COLUMNS = (
    "id", "record", "account", "amount_nano", "free_nano", "reason", "posted_at", "spender", "model",
    "channel", "app", "started_at", "cost_known",
)  # fmt: skip
_READ = """
    SELECT record::text, sum(amount_nano)::bigint, sum(free_nano)::bigint
    FROM charge_refunds WHERE record = ANY($1::uuid[]) GROUP BY record
"""
# Each refund is one transfer, and together they are no more than what the record was charged.
REFUNDS_CHECK = """
    WITH compared AS (
        SELECT coalesce(f.id, t.id) AS id,
            f.posted_at >= :since
                AND (f.record, f.amount_nano) IS DISTINCT FROM (t.reference, t.amount) AS unpaid,
            f.id IS NULL AS unknown
        FROM charge_refunds AS f
        FULL JOIN (SELECT * FROM transfers WHERE kind = 'refund' AND posted_at >= :since) AS t ON t.id = f.id
    ), sums AS (
        SELECT record, sum(amount_nano) AS amount, sum(free_nano) AS free FROM charge_refunds GROUP BY record
    ), excesses AS (
        SELECT s.record FROM sums AS s JOIN usage_records AS r ON r.id = s.record
        WHERE s.amount > r.from_held_nano + r.overage_nano OR s.free > r.free_nano
    )
    SELECT count(*) AS refunds, count(*) FILTER (WHERE unpaid) AS bad_transfers,
        count(*) FILTER (WHERE unknown) AS bad_without_refund,
        (SELECT count(*) FROM excesses) AS bad_excesses,
        coalesce(min(id::text) FILTER (WHERE unpaid OR unknown),
            (SELECT min(record::text) FROM excesses)) AS first
    FROM compared
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
        await copy_rows(driver, "charge_refunds", _COLUMNS, [_row(refund, now) for refund in refunds])


def _row(refund: RefundedCharge, now: datetime) -> tuple[object, ...]:
    charge = refund.charge
    return (
        refund.id, charge.id, charge.account, refund.amount_nano, refund.free_nano, refund.reason, now,
        charge.spender, charge.model, charge.channel, charge.app, charge.started_at,
        charge.upstream_cost_nano is not None,
    )  # fmt: skip
