"""The table of payouts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import asyncpg

from common.kit.db import Database
from oauth.adapters.postgres.store import as_unavailable
from oauth.charges.domain.charges import PATIENCE
from oauth.charges.domain.payouts import Payout, PayoutStatus

_ADD = """
INSERT INTO payouts (id, app, key, state, amount_nano, target, account, reference, created_by, created_at,
                     due_at)
VALUES ($1, $2, $3, 'pending', $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (app, key) DO NOTHING
"""
_FIND = "SELECT * FROM payouts WHERE app = $1 AND key = $2"
_CLAIM = "UPDATE payouts SET due_at = $3 WHERE id = $1 AND due_at <= $2 RETURNING id"
_CLAIM_DUE = """
UPDATE payouts SET due_at = $2
 WHERE id IN (SELECT id FROM payouts WHERE due_at <= $1 ORDER BY due_at LIMIT $3) AND due_at <= $1
RETURNING *
"""
_SETTLE = "UPDATE payouts SET state = $2, due_at = NULL WHERE id = $1 AND state = 'pending' RETURNING *"
_ENTER = """
INSERT INTO app_entries (app, kind, object, amount_nano, fee_nano, reference, posted_at)
VALUES ($1, 'payout', $2, $3, 0, $4, $5)
"""


class PostgresPayouts:
    """See the PayoutStore port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, payout: Payout) -> Payout:
        """The stored one when the app has used the key."""
        async with self._driver() as driver:
            await driver.execute(
                _ADD, payout.id, payout.app, payout.key, payout.amount_nano, payout.target, payout.account,
                payout.reference, payout.created_by, payout.created_at, payout.created_at + PATIENCE,
            )  # fmt: skip
            return _payout(await driver.fetchrow(_FIND, payout.app, payout.key))

    async def claim(self, payout: str, now: datetime) -> bool:
        """One statement, so that of many at once one gets it."""
        async with self._driver() as driver:
            return await driver.fetchval(_CLAIM, payout, now, now + PATIENCE) is not None

    async def claim_due(self, now: datetime, limit: int) -> list[Payout]:
        """See the port."""
        async with self._driver() as driver:
            return [_payout(row) for row in await driver.fetch(_CLAIM_DUE, now, now + PATIENCE, limit)]

    async def settle(self, payout: Payout, state: PayoutStatus, now: datetime) -> Payout:
        """See the port; the second time nothing changes."""
        async with self._driver() as driver:
            row = await driver.fetchrow(_SETTLE, payout.id, state)
            if row is None:
                return _payout(await driver.fetchrow(_FIND, payout.app, payout.key))
            if state == "paid":
                await driver.execute(
                    _ENTER, payout.app, payout.id, -payout.amount_nano, payout.reference, now
                )
            return _payout(row)

    @asynccontextmanager
    async def _driver(self) -> AsyncIterator[asyncpg.Connection]:
        try:
            async with self._database.driver_transaction() as driver:
                yield driver
        except Exception as error:
            raise as_unavailable(error) from error


def _payout(row: Any) -> Payout:
    values = dict(row.items())
    for name in ("id", "app", "account", "created_by"):
        values[name] = str(values[name])
    return Payout(**values)
