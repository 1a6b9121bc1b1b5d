"""Roll-ups in PostgreSQL: `usage_daily` has charges and refunds up to the cursor, the log those after."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import TextClause, text

from billing.adapters.postgres.positions import settled_position
from billing.statements.domain.rollups import (
    Rollup,
    RollupBy,
    RollupKey,
    RollupPeriod,
    RollupQuery,
    midnight,
)
from common.kit.db import Database

_SNAPSHOT = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
_CURSOR = text("SELECT position FROM rollup_cursor")
_CLAIM = text("SELECT position FROM rollup_cursor FOR UPDATE SKIP LOCKED")
_ADVANCE = text("UPDATE rollup_cursor SET position = :high")

_DIMENSIONS = "account, day, spender, model, channel, app"
_PAID = "from_held_nano::numeric + overage_nano"
# The columns of a record as roll-ups see them. Names are cut so that any fits an index row.
_RECORD = f"""
    account, (started_at AT TIME ZONE 'UTC')::date AS day, spender, left(model, 200) AS model,
    left(channel, 100) AS channel, left(app, 200) AS app, 1::bigint AS requests,
    (outcome NOT IN ('ok', 'client_gone'))::int::bigint AS errors, estimated::int::bigint AS estimated,
    (upstream_cost_nano IS NULL)::int::bigint AS unknown_costs, cost_nano::numeric AS cost_nano,
    {_PAID} AS charged_nano, free_nano::numeric AS free_nano,
    0::numeric AS refunded_nano, 0::numeric AS refunded_free_nano,
    coalesce(upstream_cost_nano, 0)::numeric AS upstream_nano,
    CASE WHEN upstream_cost_nano IS NULL THEN 0 ELSE {_PAID} - free_nano END AS known_paid_nano, quantities
"""
# And those of a refund, which is no request: it takes from the day and the names of its charge.
_REFUND = """
    account, (started_at AT TIME ZONE 'UTC')::date AS day, spender, left(model, 200) AS model,
    left(channel, 100) AS channel, left(app, 200) AS app, 0::bigint, 0::bigint, 0::bigint, 0::bigint,
    0::numeric, 0::numeric, 0::numeric, amount_nano::numeric, free_nano::numeric, 0::numeric,
    CASE WHEN cost_known THEN free_nano::numeric - amount_nano ELSE 0 END, '{}'::jsonb
"""
_SUMS = (
    "requests", "errors", "estimated", "unknown_costs", "cost_nano", "charged_nano", "free_nano",
    "refunded_nano", "refunded_free_nano", "upstream_nano", "known_paid_nano",
)  # fmt: skip
_SUMMED = ", ".join(f"sum({name}) AS {name}" for name in _SUMS)


def _grouped(source: str, dimensions: str) -> str:
    """SQL: the sums and the quantities by unit of `source`, by `dimensions`."""
    return f"""
        SELECT {dimensions}, {", ".join(_SUMS)}, coalesce(quantities, '{{}}') AS quantities
        FROM (SELECT {dimensions}, {_SUMMED} FROM {source} GROUP BY {dimensions}) AS sums
        LEFT JOIN (
            SELECT {dimensions}, jsonb_object_agg(unit, quantity) AS quantities FROM (
                SELECT {dimensions}, key AS unit, sum(value::numeric) AS quantity
                FROM {source}, jsonb_each_text({source}.quantities) GROUP BY {dimensions}, key
            ) AS counted GROUP BY {dimensions}
        ) AS units USING ({dimensions})
    """  # noqa: S608  our own words


_FOLD = text(f"""
    WITH slice AS MATERIALIZED (
        SELECT {_RECORD} FROM usage_records WHERE position > :low AND position <= :high
        UNION ALL SELECT {_REFUND} FROM charge_refunds WHERE position > :low AND position <= :high
    )
    INSERT INTO usage_daily AS d ({_DIMENSIONS}, {", ".join(_SUMS)}, quantities)
    {_grouped("slice", _DIMENSIONS)}
    ON CONFLICT ({_DIMENSIONS}) DO UPDATE SET
        {", ".join(f"{name} = d.{name} + excluded.{name}" for name in _SUMS)},
        quantities = add_quantities(d.quantities, excluded.quantities)
""")  # noqa: S608  our own words

_NAMES: dict[RollupBy, str] = {
    "model": "model",
    "key": "spender::text",
    "app": "app",
    "channel": "channel",
    "account": "account::text",
}
_PERIODS: dict[RollupPeriod, str] = {
    "day": "day",
    "month": "date_trunc('month', day::timestamp)::date",
    "all": "CAST(:since AS date)",
}


class PostgresRollups:
    """See domain.ports.RollupStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def watermark(self) -> int | None:
        """See RollupStore."""
        async with self._database.transaction() as connection:
            cursor = (await connection.execute(_CURSOR)).scalar_one()
        settled = await settled_position(self._database, cursor)
        return settled if settled > cursor else None

    async def fold(self, watermark: int, limit: int) -> bool:
        """See RollupStore. Sums and cursor move in one transaction, so a crash repeats or has done both."""
        async with self._database.transaction() as connection:
            low = (await connection.execute(_CLAIM)).scalar_one_or_none()
            if low is None or low >= watermark:
                return False
            high = min(low + limit, watermark)
            await connection.execute(_FOLD, {"low": low, "high": high})
            await connection.execute(_ADVANCE, {"high": high})
        return bool(high < watermark)

    async def read(self, query: RollupQuery, after: RollupKey, limit: int) -> list[Rollup]:
        """See RollupStore."""
        since, until = query.days
        values = {
            "since": since,
            "until": until,
            "since_at": midnight(since),
            "until_at": midnight(until),
            "after_first": after.first,
            "after_name": after.name,
            "limit": limit,
        }
        if query.account is not None:
            values["account"] = query.account
        statement = _read_statement(query.by, query.period, everybody=query.account is None)
        async with self._database.transaction() as connection:
            await connection.execute(_SNAPSHOT)
            values["position"] = (await connection.execute(_CURSOR)).scalar_one()
            rows = (await connection.execute(statement, values)).all()
        return [_rollup(row) for row in rows]


@lru_cache(64)
def _read_statement(by: RollupBy, period: RollupPeriod, *, everybody: bool) -> TextClause:
    account = "" if everybody else "account = CAST(:account AS uuid) AND "
    behind = f"{account}position > :position AND started_at >= :since_at AND started_at < :until_at"
    picked = f"{_PERIODS[period]} AS first, {_NAMES[by]} AS name, {', '.join(_SUMS)}, quantities"
    return text(f"""
        WITH seen AS MATERIALIZED (
            SELECT {picked} FROM usage_daily WHERE {account}day >= :since AND day < :until
            UNION ALL
            SELECT {picked} FROM (
                SELECT {_RECORD} FROM usage_records WHERE {behind}
                UNION ALL SELECT {_REFUND} FROM charge_refunds WHERE {behind}
            ) AS tail
        ), wanted AS (
            SELECT * FROM seen WHERE (first, name) > (CAST(:after_first AS date), CAST(:after_name AS text))
        )
        {_grouped("wanted", "first, name")}
        ORDER BY first, name LIMIT :limit
    """)  # noqa: S608  our own words


def _rollup(row: Sequence[Any]) -> Rollup:
    first, name, *sums, counts = row
    quantities = {unit: int(count) for unit, count in sorted(counts.items())}
    values: list[Any] = [first, name, *(int(value) for value in sums), quantities]
    return Rollup(*values)
