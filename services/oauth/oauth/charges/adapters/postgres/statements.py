"""The statements of apps."""

from common.kit.db import Database
from oauth.adapters.postgres.store import as_unavailable
from oauth.charges.domain.statements import Entry

_LIST = """
SELECT position, kind, object::text, charge::text, amount_nano, fee_nano, reference, posted_at
  FROM app_entries WHERE app = $1 AND position > $2 ORDER BY position LIMIT $3
"""


class PostgresStatements:
    """See the StatementReader port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_page(self, app: str, after: int, limit: int) -> list[Entry]:
        """By index (app, position)."""
        try:
            async with self._database.driver_transaction() as driver:
                return [Entry(*row) for row in await driver.fetch(_LIST, app, after, limit)]
        except Exception as error:
            raise as_unavailable(error) from error
