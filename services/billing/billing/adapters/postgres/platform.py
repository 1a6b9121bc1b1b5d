"""The platform's own accounts in the ledger's transactions.

Nearly every transaction adds to one of them, `revenue`. What is only added to needs no balance to decide by:
the row is locked when it is written, and so held for the last part of a transaction instead of all of it.
What is decided by (a payout, a top-up) is locked before. A transaction does one or the other with all it
touches, after its customers and by id, so that no two wait for each other.
"""

from collections.abc import Iterable, Sequence

import asyncpg

from billing.domain.accounts import Account

_INSERT = """
    INSERT INTO accounts (name, kind, allow_negative) SELECT unnest($1::text[]), 'platform', true
    ON CONFLICT DO NOTHING
"""
# By join: against a long array of names the planner prefers to look at every account there is.
_READ = """
    SELECT a.id, a.name, a.debits, a.credits
    FROM unnest($1::text[]) AS wanted (name) JOIN accounts AS a ON a.name = wanted.name
"""
_LOCK = f"{_READ} ORDER BY a.id FOR NO KEY UPDATE OF a"
_ADD = """
    UPDATE accounts AS a SET debits = a.debits + u.debits, credits = a.credits + u.credits
    FROM (SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS added (id, debits, credits)
        ORDER BY id) AS u
    WHERE a.id = u.id RETURNING a.id, a.credits - a.debits
"""


class PlatformAccounts:
    """Remembers the ids, which never change."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}

    async def lock(self, driver: asyncpg.Connection, names: Iterable[str]) -> list[Account]:
        """The accounts as they are, locked until the transaction ends; made when they are missing."""
        rows, _ = await _find(driver, set(names), _LOCK)
        return [Account(*row[:4], allow_negative=True) for row in rows]

    async def name(self, driver: asyncpg.Connection, names: Iterable[str]) -> list[Account]:
        """The accounts with counters of 0, for `add`; made when they are missing."""
        wanted = set(names)
        ids = self._ids
        if not ids.keys() >= wanted:
            rows, made = await _find(driver, wanted, _READ)
            ids = {row[1]: row[0] for row in rows}
            if not made:  # else it may yet be rolled back
                self._ids |= ids
        return [Account(ids[name], name, 0, 0, allow_negative=True) for name in wanted]

    def forget(self) -> None:
        """Remember nothing: this may be another server."""
        self._ids.clear()

    async def add(self, driver: asyncpg.Connection, accounts: Sequence[Account]) -> dict[int, int]:
        """Add these counters to those of the rows, locked from now on; their balances before, by id."""
        rows = await driver.fetch(
            _ADD, *([getattr(account, name) for account in accounts] for name in ("id", "debits", "credits"))
        )
        after = dict(map(tuple, rows))
        return {account.id: after[account.id] - account.balance for account in accounts}


async def _find(
    driver: asyncpg.Connection, names: set[str], statement: str
) -> tuple[Sequence[asyncpg.Record], bool]:
    rows: Sequence[asyncpg.Record] = await driver.fetch(statement, list(names))
    if len(rows) == len(names):
        return rows, False
    await driver.execute(_INSERT, sorted(names))
    return await driver.fetch(statement, list(names)), True
