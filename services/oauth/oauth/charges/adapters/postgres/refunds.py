"""The table of refunds. Lock order: charges, refunds, people."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import asyncpg

from common.contracts.errors import ServiceError
from common.kit.db import Database
from oauth.adapters.postgres.store import as_unavailable, next_sequence
from oauth.charges.adapters.postgres.charges import COLUMNS, charge_of
from oauth.charges.adapters.postgres.stories import Stories
from oauth.charges.domain.charges import PATIENCE, Charge
from oauth.charges.domain.errors import ExceedsCaptureError, InvalidStateError
from oauth.charges.domain.events import refunded_event
from oauth.charges.domain.refunds import Refund

_LOCK_CHARGE = f"SELECT {COLUMNS} FROM charges WHERE id = $1 FOR NO KEY UPDATE"  # noqa: S608
_FIND = "SELECT * FROM charge_refunds WHERE charge = $1 AND key = $2"
_ADD = """
INSERT INTO charge_refunds (id, charge, key, fingerprint, state, amount_nano, reason, created_at, due_at)
VALUES ($1, $2, $3, $4, 'pending', $5, $6, $7, $8) RETURNING *
"""
_SET_ASIDE = "UPDATE charges SET refunding_nano = refunding_nano + $2 WHERE id = $1"
_SETTLE = """
UPDATE charge_refunds SET state = $2, fee_nano = $3, due_at = NULL WHERE id = $1 AND state = 'pending'
RETURNING *
"""
_GET = "SELECT * FROM charge_refunds WHERE id = $1"
_COUNT = f"""
UPDATE charges SET refunding_nano = refunding_nano - $2, refunded_nano = refunded_nano + $3,
       fee_nano = fee_nano - $4 WHERE id = $1 RETURNING {COLUMNS}
"""  # noqa: S608
_ENTER = """
INSERT INTO app_entries (app, kind, object, charge, amount_nano, fee_nano, reference, posted_at)
VALUES ($1, 'refund', $2, $3, $4, $5, $6, $7)
"""
_CLAIM = "UPDATE charge_refunds SET due_at = $3 WHERE id = $1 AND due_at <= $2 RETURNING *"
_CLAIM_DUE = """
UPDATE charge_refunds SET due_at = $2
 WHERE id IN (SELECT id FROM charge_refunds WHERE due_at <= $1 ORDER BY due_at LIMIT $3) AND due_at <= $1
RETURNING *
"""
_LIST = "SELECT * FROM charge_refunds WHERE charge = $1 ORDER BY id LIMIT 1000"


class PostgresRefunds:
    """See the RefundStore port."""

    def __init__(self, database: Database, stories: Stories, notify: Callable[[], None]) -> None:
        self._database = database
        self._stories = stories
        self._notify = notify

    async def add(self, refund: Refund, asked_nano: int | None) -> Refund:
        """The charge's row is the lock: what is left of it is counted by one at a time."""
        try:
            async with self._database.driver_transaction() as driver:
                charge = charge_of(await driver.fetchrow(_LOCK_CHARGE, refund.charge))
                known = await driver.fetchrow(_FIND, refund.charge, refund.key)
                if known is not None:
                    return _refund(known)
                amount_nano = _amount(charge, asked_nano)
                await driver.execute(_SET_ASIDE, refund.charge, amount_nano)
                created_at = refund.created_at
                row = await driver.fetchrow(
                    _ADD, refund.id, refund.charge, refund.key, refund.fingerprint, amount_nano,
                    refund.reason, created_at, created_at + PATIENCE,
                )  # fmt: skip
                return _refund(row)
        except ServiceError:
            raise
        except Exception as error:
            raise as_unavailable(error) from error

    async def settle(self, refund: Refund, fee_nano: int | None) -> Refund:
        """See the port; the second time nothing changes."""
        try:
            async with self._database.driver_transaction() as driver:
                settled = await self._settle(driver, refund, fee_nano)
        except Exception as error:
            raise as_unavailable(error) from error
        self._notify()
        return settled

    async def claim(self, refund: str, now: datetime) -> Refund | None:
        """One statement, so that of many at once one gets it."""
        found = await self._all(_CLAIM, refund, now, now + PATIENCE)
        return found[0] if found else None

    async def claim_due(self, now: datetime, limit: int) -> list[Refund]:
        """See the port."""
        return await self._all(_CLAIM_DUE, now, now + PATIENCE, limit)

    async def list_of(self, charge: str) -> list[Refund]:
        """By index (charge, id); 1,000 at most."""
        return await self._all(_LIST, charge)

    async def _settle(self, driver: asyncpg.Connection, refund: Refund, fee_nano: int | None) -> Refund:
        await driver.fetchrow(_LOCK_CHARGE, refund.charge)
        state = "failed" if fee_nano is None else "succeeded"
        row = await driver.fetchrow(_SETTLE, refund.id, state, fee_nano or 0)
        if row is None:
            return _refund(await driver.fetchrow(_GET, refund.id))
        settled, amount_nano = _refund(row), refund.amount_nano
        given_nano = 0 if fee_nano is None else amount_nano
        counted = await driver.fetchrow(_COUNT, refund.charge, amount_nano, given_nano, fee_nano or 0)
        if fee_nano is not None:
            charge = charge_of(counted)
            listening = await self._stories.listening(driver, charge.app)
            event = refunded_event(charge, settled, await next_sequence(driver, charge.user))
            await driver.execute(
                _ENTER, charge.app, refund.id, charge.id, -amount_nano, -fee_nano, charge.reference,
                self._stories.now(),
            )  # fmt: skip
            await self._stories.tell(driver, [(event, charge, settled)], listening)
        return settled

    async def _all(self, statement: str, *values: Any) -> list[Refund]:
        try:
            async with self._database.driver_transaction() as driver:
                return [_refund(row) for row in await driver.fetch(statement, *values)]
        except Exception as error:
            raise as_unavailable(error) from error


def _amount(charge: Charge, asked_nano: int | None) -> int:
    if charge.state != "succeeded":
        raise InvalidStateError(f"The charge is {charge.state}: there is nothing to refund.")
    left_nano = charge.captured_nano - charge.refunded_nano - charge.refunding_nano
    amount_nano = left_nano if asked_nano is None else asked_nano
    if amount_nano > left_nano or amount_nano == 0:
        raise ExceedsCaptureError("That is more than is left of the charge.", param="amount")
    return amount_nano


def _refund(row: Any) -> Refund:
    values = dict(row.items())
    for name in ("id", "charge"):
        values[name] = str(values[name])
    values["fingerprint"] = bytes(values["fingerprint"])
    return Refund(**values)
