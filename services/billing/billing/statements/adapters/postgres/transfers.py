"""Balance history in PostgreSQL, by the index on (customer, posted_at, position)."""

from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.domain.accounts import held_name, wallet_name
from billing.statements.domain.transfers import Balance, PostedTransfer, TransferPlace, TransferQuery
from common.kit.db import Database

SNAPSHOT = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
SKEW = "interval '1 hour'"
"""How far the clocks of replicas may be apart: positions are in the order of the ledger, times nearly so."""
_LIST = """
    SELECT t.id::text, t.position, t.posted_at, t.kind, t.amount, d.name, c.name, t.debit_after,
        t.credit_after, t.reference::text
    FROM transfers AS t JOIN accounts AS d ON d.id = t.debit_account
    JOIN accounts AS c ON c.id = t.credit_account
    WHERE t.customer = CAST(:account AS uuid) AND (t.posted_at, t.position) < (:before_at, :before_position)
"""
_NARROWED = {
    "kind": " AND t.kind = :kind",
    "since": " AND t.posted_at >= :since",
    "until": " AND t.posted_at < :until",
}
_NEWEST_FIRST = " ORDER BY t.posted_at DESC, t.position DESC LIMIT :limit"
_ACCOUNTS = text("SELECT name, id FROM accounts WHERE name IN (:wallet, :held)")
# The last of the ledger's own order among those posted before a time. The newest by time is near it.
_CUT = text(f"""
    SELECT coalesce(max(position), 0) FROM transfers
    WHERE customer = CAST(:account AS uuid) AND posted_at < :at AND posted_at >= (
        SELECT posted_at FROM transfers WHERE customer = CAST(:account AS uuid) AND posted_at < :at
        ORDER BY posted_at DESC, position DESC LIMIT 1
    ) - {SKEW}
""")  # noqa: S608  our own words
_TOUCHING = f"""
    SELECT position, posted_at, debit_account, debit_after, credit_after FROM transfers
    WHERE customer = CAST(:account AS uuid) AND position <= :cut
    AND posted_at < CAST(:at AS timestamptz) + {SKEW}
    AND (debit_account = :ledger_account OR credit_account = :ledger_account)
"""  # noqa: S608  our own words
_AFTER = text(f"""
    SELECT CASE WHEN debit_account = :ledger_account THEN debit_after ELSE credit_after END
    FROM ({_TOUCHING}) AS touching WHERE posted_at >= (
        SELECT posted_at FROM ({_TOUCHING}) AS any_of_them ORDER BY posted_at DESC, position DESC LIMIT 1
    ) - {SKEW} ORDER BY position DESC LIMIT 1
""")  # noqa: S608  our own words


class PostgresTransfers:
    """See domain.ports.TransferReader."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def newest(self, query: TransferQuery, before: TransferPlace, limit: int) -> list[PostedTransfer]:
        """See TransferReader."""
        values: dict[str, Any] = {
            "account": query.account,
            "before_at": before.posted_at,
            "before_position": before.position,
            "limit": limit,
        }
        narrowed = {name: value for name in _NARROWED if (value := getattr(query, name)) is not None}
        conditions = "".join(_NARROWED[name] for name in narrowed)
        async with self._database.transaction() as connection:
            statement = text(_LIST + conditions + _NEWEST_FIRST)
            rows = await connection.execute(statement, values | narrowed)
            return [PostedTransfer(*row) for row in rows]

    async def balance_at(self, account: str, at: datetime) -> Balance:
        """See TransferReader."""
        async with self._database.transaction() as connection:
            await connection.execute(SNAPSHOT)
            return await balance_after(connection, account, await last_position(connection, account, at), at)


async def last_position(connection: AsyncConnection, account: str, at: datetime) -> int:
    """The account's last position posted before `at`, 0 for none: the books are cut behind it."""
    return int(await connection.scalar(_CUT, {"account": account, "at": at}))


async def balance_after(connection: AsyncConnection, account: str, cut: int, at: datetime) -> Balance:
    """Wallet and held after the position `cut`, which is `last_position` of `at`."""
    ids = await ledger_accounts(connection, account)
    balances = []
    for name in (wallet_name(account), held_name(account)):
        values = {"account": account, "cut": cut, "at": at, "ledger_account": ids.get(name, 0)}
        balances.append(int(await connection.scalar(_AFTER, values) or 0))
    return Balance(*balances)


async def ledger_accounts(connection: AsyncConnection, account: str) -> dict[str, int]:
    """The ids of the customer's ledger accounts by name; empty when the ledger has not met it."""
    names = {"wallet": wallet_name(account), "held": held_name(account)}
    return {row[0]: row[1] for row in await connection.execute(_ACCOUNTS, names)}
