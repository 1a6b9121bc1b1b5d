"""Balance alerts in PostgreSQL: read here, set by the ledger's transactions."""

from sqlalchemy import text

from common.kit.db import Database

_READ = text("SELECT alert_nano FROM customers WHERE account = CAST(:account AS uuid)")


class PostgresAlerts:
    """See domain.ports.AlertReader."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, account: str) -> int | None:
        """The account's threshold in nano-USD; by the primary key."""
        async with self._database.transaction() as connection:
            found: int | None = await connection.scalar(_READ, {"account": account})
        return found
