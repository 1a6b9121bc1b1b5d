"""Payments in PostgreSQL. Statuses only move forward, by one conditional statement each."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import TextClause, text

from billing.payments.domain.payments import Fact, Payment, Status
from billing.payments.domain.ports import Placed
from common.kit.db import Database

_COLUMNS = (
    "id::text, account::text, method, status, amount_minor, currency, price_micro, credit_nano, description,"
    " email, success_url, cancel_url, created_at, position, stripe_object, stripe_intent, url, failure,"
    " reversed_minor, reversed_nano"
)
SELECT = f"SELECT {_COLUMNS} FROM payments"  # noqa: S608  our own words
"""What `Payment(*row)` is made of."""
_INSERT = text(
    "INSERT INTO payments (id, account, method, status, amount_minor, currency, price_micro, credit_nano,"
    " description, email, success_url, cancel_url, created_at, updated_at, next_check_at)"
    " VALUES (:id, :account, :method, 'creating', :amount_minor, :currency, :price_micro, :credit_nano,"
    " :description, :email, :success_url, :cancel_url, :created_at, :created_at, :next_check_at)"
    " ON CONFLICT (id) DO NOTHING"
)
_FIND = text(SELECT + " WHERE id = CAST(:value AS uuid)")
_FIND_OBJECT = text(SELECT + " WHERE stripe_object = :value")
_FIND_INTENT = text(SELECT + " WHERE stripe_intent = :value")
_LIST = text(SELECT + " WHERE position < :before ORDER BY position DESC LIMIT :limit")
_LIST_OWN = text(
    SELECT + " WHERE account = CAST(:account AS uuid) AND position < :before"
    " ORDER BY position DESC LIMIT :limit"
)
_OPEN = text(
    "UPDATE payments SET status = 'open', stripe_object = :object, url = :url, updated_at = :now,"
    " next_check_at = :next_check_at WHERE id = CAST(:id AS uuid) AND status = 'creating'"
)
# What is over is not under way again, and what is credited stays so, whatever event comes late.
_ADVANCE = text(
    "UPDATE payments SET status = :status, failure = :failure, updated_at = :now"
    " WHERE id = CAST(:id AS uuid) AND status <> 'succeeded'"
    " AND (:status <> 'processing' OR status IN ('creating', 'open'))"
)
_SUCCEED = text(
    "UPDATE payments SET status = 'succeeded', failure = '', stripe_object = :object,"
    " stripe_intent = coalesce(stripe_intent, :intent), updated_at = :now WHERE id = CAST(:id AS uuid)"
)
_NAME_INTENT = text(
    "UPDATE payments SET stripe_intent = :intent WHERE id = CAST(:id AS uuid) AND stripe_intent IS NULL"
)
_CHECK_AT = text("UPDATE payments SET next_check_at = :next_check_at WHERE id = CAST(:id AS uuid)")
_CLAIM_DUE = text(
    "UPDATE payments SET next_check_at = :next_check_at WHERE position IN ("  # noqa: S608  our own words
    " SELECT position FROM payments WHERE status IN ('creating', 'open', 'processing')"
    " AND next_check_at <= :now ORDER BY next_check_at LIMIT :limit FOR UPDATE SKIP LOCKED)"
    f" RETURNING {_COLUMNS}"
)


class PostgresPayments:
    """See domain.ports.PaymentStore. Lists are served by payments_account and the primary key."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, payment: Payment, next_check_at: datetime) -> Payment:
        """See PaymentStore."""
        values = {name: getattr(payment, name) for name in payment.__struct_fields__}
        async with self._database.transaction() as connection:
            await connection.execute(_INSERT, {**values, "next_check_at": next_check_at})
            return _payment((await connection.execute(_FIND, {"value": payment.id})).one())

    async def find(self, payment: str) -> Payment | None:
        """See PaymentStore."""
        return await self._first(_FIND, payment)

    async def find_object(self, object_: str) -> Payment | None:
        """See PaymentStore."""
        return await self._first(_FIND_OBJECT, object_)

    async def find_intent(self, intent: str) -> Payment | None:
        """See PaymentStore."""
        return await self._first(_FIND_INTENT, intent)

    async def list_newest(self, account: str | None, before: int, limit: int) -> list[Payment]:
        """See PaymentStore."""
        values = {"account": account, "before": before, "limit": limit}
        if account is None:
            del values["account"]
        async with self._database.transaction() as connection:
            rows = await connection.execute(_LIST if account is None else _LIST_OWN, values)
            return [_payment(row) for row in rows]

    async def open(self, payment: str, placed: Placed, now: datetime, next_check_at: datetime) -> Payment:
        """See PaymentStore."""
        values = {"object": placed.object, "url": placed.url, "now": now, "next_check_at": next_check_at}
        async with self._database.transaction() as connection:
            await connection.execute(_OPEN, {"id": payment, **values})
            return _payment((await connection.execute(_FIND, {"value": payment})).one())

    async def advance(self, payment: str, status: Status, failure: str, now: datetime) -> None:
        """See PaymentStore."""
        await self._execute(_ADVANCE, {"id": payment, "status": status, "failure": failure, "now": now})

    async def succeed(self, payment: str, fact: Fact, now: datetime) -> None:
        """See PaymentStore."""
        values = {"id": payment, "object": fact.object, "intent": fact.intent or None, "now": now}
        await self._execute(_SUCCEED, values)

    async def name_intent(self, payment: str, intent: str) -> None:
        """See PaymentStore."""
        await self._execute(_NAME_INTENT, {"id": payment, "intent": intent})

    async def claim_due(self, now: datetime, next_check_at: datetime, limit: int) -> list[Payment]:
        """See PaymentStore."""
        values = {"now": now, "next_check_at": next_check_at, "limit": limit}
        async with self._database.transaction() as connection:
            return [_payment(row) for row in await connection.execute(_CLAIM_DUE, values)]

    async def check_at(self, payment: str, next_check_at: datetime) -> None:
        """See PaymentStore."""
        await self._execute(_CHECK_AT, {"id": payment, "next_check_at": next_check_at})

    async def _first(self, query: TextClause, value: str) -> Payment | None:
        async with self._database.transaction() as connection:
            row = (await connection.execute(query, {"value": value})).first()
            return None if row is None else _payment(row)

    async def _execute(self, statement: TextClause, values: Mapping[str, Any]) -> None:
        async with self._database.transaction() as connection:
            await connection.execute(statement, values)


def _payment(row: Any) -> Payment:
    return Payment(*row)
