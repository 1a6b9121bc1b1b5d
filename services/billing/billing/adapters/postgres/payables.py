"""What is owed to apps, read from PostgreSQL."""

from collections.abc import Sequence

from sqlalchemy import text

from common.contracts.holds import APP_PAYABLE
from common.kit.db import Database

_READ = text("SELECT name, credits - debits FROM accounts WHERE name = ANY(:names)")


class PostgresPayables:
    """See domain.ports.PayableReader."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, apps: Sequence[str]) -> dict[str, int]:
        """By the unique name."""
        names = [APP_PAYABLE + app for app in apps]
        async with self._database.transaction() as connection:
            rows = await connection.execute(_READ, {"names": names})
            return {name.removeprefix(APP_PAYABLE): balance for name, balance in rows}
