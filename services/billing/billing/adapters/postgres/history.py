"""Past usage in PostgreSQL, read once from end to end in pieces."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from billing.domain.simulations import PastUse, UseFilter
from common.kit.db import Database

CHUNK = 500
"""Rows held at once; pricing them is a few milliseconds, in which the service does nothing else."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SELECT = (
    "SELECT account::text, model, group_name, started_at, quantities,"
    " coalesce((terms ->> 'group_rate_micro')::bigint, rate_micro), cost_nano FROM usage_records"
    " WHERE started_at >= :since AND started_at < :until"
)
# The period is read by the index on the time, or on account and time; model and group narrow what it finds.
_CONDITIONS = {
    "account": " AND account = CAST(:account AS uuid)",
    "model": " AND model LIKE :model",
    "group": " AND group_name = :group",
}


class PostgresHistory:
    """See domain.ports.UsageHistory."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def each(self, wanted: UseFilter, take: Callable[[Sequence[PastUse]], None]) -> None:
        """Hand over the wanted usage in one snapshot, `CHUNK` records at a time, in no order."""
        values: dict[str, Any] = {"since": wanted.since, "until": wanted.until}
        statement = _SELECT
        for name, condition in _CONDITIONS.items():
            value = getattr(wanted, name)
            if value is not None:
                statement += condition
                values[name] = _pattern(value) if name == "model" else value
        async with self._database.transaction() as connection:
            await connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
            rows = await connection.stream(text(statement), values)
            async for chunk in rows.partitions(CHUNK):
                take([_use(row) for row in chunk])


def _use(row: Any) -> PastUse:
    account, model, group, started_at, quantities, rate_micro, cost_nano = row
    started_at_ms = (started_at - _EPOCH) // timedelta(milliseconds=1)
    return PastUse(account, model, group, started_at_ms, quantities, rate_micro, cost_nano)


def _pattern(model: str) -> str:
    """A name, or the beginning of one before `*`, for LIKE."""
    plain = model.removesuffix("*")
    for special in ("\\", "%", "_"):
        plain = plain.replace(special, "\\" + special)
    return plain + ("%" if model.endswith("*") else "")
