"""Balances in PostgreSQL, read only."""

from sqlalchemy import text

from billing.adapters.postgres.ledger import PostgresLedger
from billing.domain.accounts import LONG_AGO, held_name, wallet_name
from billing.domain.allowances import allowance_of, is_due, roll_over
from billing.domain.ports import Clock
from billing.domain.statements import Balances
from common.kit.db import Database

_READ = text("SELECT name, credits - debits FROM accounts WHERE name IN (:wallet, :held)")
_ALLOWANCE = text(
    "SELECT free_nano, plan, plan_until, allowance_until, debt_nano FROM customers"
    " WHERE account = CAST(:account AS uuid)"
)


class PostgresWallets:
    """See domain.ports.WalletReader."""

    def __init__(self, database: Database, ledger: PostgresLedger, clock: Clock) -> None:
        self._database = database
        self._ledger = ledger
        self._clock = clock

    async def read(self, account: str) -> Balances:
        """What a reservation would find now: an allowance whose period is due to begin is in it."""
        names = {"wallet": wallet_name(account), "held": held_name(account)}
        async with self._database.transaction() as connection:
            rows = await connection.execute(_READ, names)
            balances = {name: balance for name, balance in rows}  # noqa: C416  rows are not pairs to mypy
            row = (await connection.execute(_ALLOWANCE, {"account": account})).first()
        wallet, held = balances.get(names["wallet"], 0), balances.get(names["held"], 0)
        free, plan, plan_until, until, debt = (0, "", None, LONG_AGO, 0) if row is None else row
        allowances, now = self._ledger.allowances, self._clock()
        if allowances is not None and is_due(allowances, plan, plan_until, until, free, now):
            due = roll_over(allowance_of(allowances, plan, plan_until, now), free, wallet, now)
            gained = due.given_nano - due.expired_nano
            wallet, free = wallet + gained, free + gained
        return Balances(wallet, held, free, debt)
