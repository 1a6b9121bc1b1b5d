"""Recharge ratios in PostgreSQL."""

from typing import Any

from sqlalchemy import text

from billing.payments.domain.recharge import Ratio
from common.kit.db import Database

_LIST = text("SELECT currency, price_micro, source FROM recharge_ratios ORDER BY currency")
_FIND = text("SELECT currency, price_micro, source FROM recharge_ratios WHERE currency = :currency")
_PUT = text(
    "INSERT INTO recharge_ratios (currency, price_micro, source) VALUES (:currency, :price_micro, :source)"
    " ON CONFLICT (currency) DO UPDATE SET price_micro = excluded.price_micro, source = excluded.source,"
    " updated_at = now()"
)
_REMOVE = text("DELETE FROM recharge_ratios WHERE currency = :currency")


class PostgresRatios:
    """See domain.ports.RatioStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_all(self) -> list[Ratio]:
        """See RatioStore."""
        async with self._database.transaction() as connection:
            return [_ratio(row) for row in await connection.execute(_LIST)]

    async def find(self, currency: str) -> Ratio | None:
        """See RatioStore."""
        async with self._database.transaction() as connection:
            row = (await connection.execute(_FIND, {"currency": currency})).first()
            return None if row is None else _ratio(row)

    async def put(self, ratio: Ratio) -> None:
        """See RatioStore."""
        values = {"currency": ratio.currency, "price_micro": ratio.price_micro, "source": ratio.source}
        async with self._database.transaction() as connection:
            await connection.execute(_PUT, values)

    async def remove(self, currency: str) -> bool:
        """See RatioStore."""
        async with self._database.transaction() as connection:
            return bool((await connection.execute(_REMOVE, {"currency": currency})).rowcount)


def _ratio(row: Any) -> Ratio:
    return Ratio(*row)
