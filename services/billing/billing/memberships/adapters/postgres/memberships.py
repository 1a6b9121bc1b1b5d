"""Memberships in PostgreSQL: reviewed in the transaction that moved the money, and read."""

from datetime import datetime

import asyncpg
import msgspec
from sqlalchemy import text

from billing.domain.books import Books
from billing.memberships.domain.memberships import (
    Membership,
    Posting,
    membership,
    payments_of,
    tell_change,
)
from billing.memberships.domain.plans import Plan, read_plans
from billing.memberships.domain.ports import Standing
from common.contracts.bootstrap import PlanSpec
from common.kit.db import Database

# The kinds are written out, as in the condition of the index transfers_payments, which serves this.
_PAYMENT = """
    kind IN ('topup', 'payment', 'redemption', 'payment_refund', 'payment_refund_reversed', 'chargeback',
        'chargeback_reversed')
"""
_PLANS = "SELECT version, plans::text FROM plans ORDER BY version DESC LIMIT 1"
_MEMBERSHIPS = (
    "SELECT account::text, plan, plan_since, plan_until FROM customers WHERE account = ANY($1::uuid[])"
)
_POSTINGS = f"""
    SELECT customer::text, kind, amount, reference::text, posted_at FROM transfers
    WHERE customer = ANY($1::uuid[]) AND {_PAYMENT} ORDER BY customer, position
"""  # noqa: S608
_SAVE = """
    UPDATE customers AS c SET plan = u.plan, plan_since = u.since, plan_until = u.until
    FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[])
        AS u (account, plan, since, until)
    WHERE c.account = u.account
"""
_READ = text(
    "SELECT plan, plan_since, plan_until, free_nano, allowance_until FROM customers"
    " WHERE account = CAST(:account AS uuid)"
)
_DUE = text("SELECT account::text FROM customers WHERE plan_until <= :now ORDER BY plan_until LIMIT :limit")
_PAYERS = text(
    f"SELECT DISTINCT customer FROM transfers WHERE customer > CAST(:after AS uuid) AND {_PAYMENT}"  # noqa: S608
    " ORDER BY customer LIMIT :limit"
)


class MembershipReview:
    """What ends a ledger transaction with payments in it; the customers' rows are locked by then.

    The plans are read in the same transaction, so that no payment is judged by plans of another time.
    """

    def __init__(self) -> None:
        self._version = 0
        self._plans: tuple[Plan, ...] = ()

    async def review(self, driver: asyncpg.Connection, books: Books) -> None:
        """Write and tell the memberships of `books.reviews` that are others now."""
        await self._read_plans(driver)
        accounts = list(books.reviews)
        postings: dict[str, list[Posting]] = {account: [] for account in accounts}
        for account, *posting in await driver.fetch(_POSTINGS, accounts):
            postings[account].append(Posting(*posting))
        changed = []
        for account, *previous in await driver.fetch(_MEMBERSHIPS, accounts):
            found = membership(payments_of(postings[account]), self._plans, books.now)
            if tell_change(books, books.customers[account], Membership(*previous), found):
                changed.append((account, found.plan, found.since, found.until))
        if changed:
            await driver.execute(_SAVE, *map(list, zip(*changed, strict=True)))

    async def _read_plans(self, driver: asyncpg.Connection) -> None:
        row = await driver.fetchrow(_PLANS)
        if row is not None and row[0] != self._version:
            self._plans = read_plans(msgspec.json.decode(row[1], type=tuple[PlanSpec, ...]))
            self._version = row[0]


class PostgresMemberships:
    """See memberships.domain.ports.MembershipReader."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, account: str) -> Standing:
        """The account's; none for an account the ledger has not met."""
        async with self._database.transaction() as connection:
            row = (await connection.execute(_READ, {"account": account})).first()
        return Standing() if row is None else Standing(Membership(*row[:3]), *row[3:])

    async def due(self, now: datetime, limit: int) -> tuple[str, ...]:
        """Accounts whose membership is over at `now`, the earliest first; by customers_plan_until."""
        async with self._database.transaction() as connection:
            rows = await connection.execute(_DUE, {"now": now, "limit": limit})
            return tuple(row[0] for row in rows)

    async def payers(self, after: str, limit: int) -> tuple[str, ...]:
        """Accounts that ever paid, by id, after `after`; by transfers_payments."""
        async with self._database.transaction() as connection:
            rows = await connection.execute(_PAYERS, {"after": after, "limit": limit})
            return tuple(str(row[0]) for row in rows)
