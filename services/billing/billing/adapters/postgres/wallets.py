"""Balances in PostgreSQL, read only."""

from sqlalchemy import text

from billing.domain.accounts import held_name, wallet_name
from common.kit.db import Database

_READ = text("SELECT name, credits - debits FROM accounts WHERE name IN (:wallet, :held)")


class PostgresWallets:
    """See domain.ports.WalletReader."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, account: str) -> tuple[int, int]:
        """(balance, held) in nano-USD; zeros for an account the ledger has not met."""
        names = {"wallet": wallet_name(account), "held": held_name(account)}
        async with self._database.transaction() as connection:
            rows = await connection.execute(_READ, names)
            balances = {name: balance for name, balance in rows}  # noqa: C416  rows are not pairs to mypy
        return balances.get(names["wallet"], 0), balances.get(names["held"], 0)
