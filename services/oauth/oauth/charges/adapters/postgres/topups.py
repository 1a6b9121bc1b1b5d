"""The table of top-up orders."""

from common.kit.db import Database
from oauth.adapters.postgres.store import as_unavailable
from oauth.charges.domain.topups import TopupOrder

_ADD = """
INSERT INTO topup_orders (id, app, user_id, account, method, created_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING
"""
_FIND = """
SELECT id::text, app::text, user_id::text, account::text, method, created_at FROM topup_orders WHERE id = $1
"""


class PostgresTopups:
    """See the TopupStore port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, order: TopupOrder) -> None:
        """The same id is the same order."""
        values = (order.id, order.app, order.user, order.account, order.method, order.created_at)
        try:
            async with self._database.driver_transaction() as driver:
                await driver.execute(_ADD, *values)
        except Exception as error:
            raise as_unavailable(error) from error

    async def find(self, order: str) -> TopupOrder | None:
        """By id."""
        try:
            async with self._database.driver_transaction() as driver:
                row = await driver.fetchrow(_FIND, order)
        except Exception as error:
            raise as_unavailable(error) from error
        return None if row is None else TopupOrder(*row)
