"""Refunds and chargebacks in PostgreSQL. The payment's row is locked while a share of it is dealt out."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import TextClause, text

from billing.payments.adapters.postgres.payments import SELECT
from billing.payments.domain.payments import Payment
from billing.payments.domain.reversals import Reversal, Status, share_nano
from common.kit.db import Database

_COLUMNS = (
    "id::text, payment::text, kind, status, amount_minor, amount_nano, requested, reason, created_at,"
    " stripe_object, uncollected_nano"
)
_SELECT = f"SELECT {_COLUMNS} FROM payment_reversals"  # noqa: S608  our own words
_LOCK_PAYMENT = text(SELECT + " WHERE id = CAST(:id AS uuid) FOR NO KEY UPDATE")
_COUNT = text(
    "UPDATE payments SET reversed_minor = reversed_minor + :minor, reversed_nano = reversed_nano + :nano"
    " WHERE id = CAST(:id AS uuid)"
)
_INSERT = text(
    "INSERT INTO payment_reversals (id, payment, kind, status, amount_minor, amount_nano, requested, reason,"
    " stripe_object, created_at, updated_at, next_check_at) VALUES (:id, :payment, :kind, :status,"
    " :amount_minor, :amount_nano, :requested, :reason, :stripe_object, :created_at, :created_at,"
    " :next_check_at)"
)
_FIND = text(_SELECT + " WHERE id = CAST(:id AS uuid) OR stripe_object = :object")
_LIST = text(_SELECT + " WHERE payment = CAST(:payment AS uuid) ORDER BY created_at, id")
_TAKE = text(
    "UPDATE payment_reversals SET status = CASE kind WHEN 'refund' THEN 'pending' ELSE 'open' END,"
    " uncollected_nano = :uncollected, next_check_at = :next_check_at"
    " WHERE id = CAST(:id AS uuid) AND status = 'taking'"
)
_NAME = text(
    "UPDATE payment_reversals SET stripe_object = :object"
    " WHERE id = CAST(:id AS uuid) AND stripe_object IS NULL"
)
_SETTLE = text(
    "UPDATE payment_reversals SET status = :status, updated_at = :now"
    " WHERE id = CAST(:id AS uuid) AND status = ANY(CAST(:before AS text[]))"
    " RETURNING payment::text, amount_minor, amount_nano"
)
_CLAIM_DUE = text(
    "UPDATE payment_reversals SET next_check_at = :next_check_at WHERE id IN ("  # noqa: S608  our own words
    " SELECT id FROM payment_reversals WHERE status IN ('taking', 'pending', 'open')"
    " AND next_check_at <= :now ORDER BY next_check_at LIMIT :limit FOR UPDATE SKIP LOCKED)"
    f" RETURNING {_COLUMNS}"
)
_BEFORE: dict[Status, list[str]] = {
    "refused": ["taking"],
    "failed": ["taking", "pending", "succeeded"],
    "succeeded": ["taking", "pending"],
    "won": ["taking", "open", "lost"],
    "lost": ["taking", "open"],
}
"""What may come before each end: a refund can fail after it succeeded, a dispute be won after all."""
_UNCOUNTED = ("refused", "failed", "won")


class PostgresReversals:
    """See domain.ports.ReversalStore. Lists are served by payment_reversals_payment."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def reserve(self, reversal: Reversal, next_check_at: datetime, *, clip: bool) -> Reversal | None:
        """See ReversalStore."""
        async with self._database.transaction() as connection:
            row = (await connection.execute(_LOCK_PAYMENT, {"id": reversal.payment})).one()
            payment = Payment(*row)
            key = {"id": reversal.id, "object": reversal.stripe_object}
            known = (await connection.execute(_FIND, key)).first()
            if known is not None:
                return _reversal(known)
            left = payment.amount_minor - payment.reversed_minor
            amount = min(left, reversal.amount_minor) if clip else reversal.amount_minor
            if not 0 < amount <= left:
                return None
            new = msgspec.structs.replace(
                reversal, amount_minor=amount, amount_nano=share_nano(payment, amount)
            )
            values = {name: getattr(new, name) for name in new.__struct_fields__}
            await connection.execute(_INSERT, {**values, "next_check_at": next_check_at})
            counted = {"id": payment.id, "minor": new.amount_minor, "nano": new.amount_nano}
            await connection.execute(_COUNT, counted)
            return new

    async def find(self, reversal: str, object_: str) -> Reversal | None:
        """See ReversalStore."""
        key = {"id": reversal or None, "object": object_ or None}
        async with self._database.transaction() as connection:
            row = (await connection.execute(_FIND, key)).first()
            return None if row is None else _reversal(row)

    async def list_of(self, payment: str) -> list[Reversal]:
        """See ReversalStore."""
        async with self._database.transaction() as connection:
            return [_reversal(row) for row in await connection.execute(_LIST, {"payment": payment})]

    async def take(self, reversal: Reversal, uncollected_nano: int, next_check_at: datetime) -> None:
        """See ReversalStore."""
        values = {"id": reversal.id, "uncollected": uncollected_nano, "next_check_at": next_check_at}
        await self._execute(_TAKE, values)

    async def name_object(self, reversal: str, object_: str) -> None:
        """See ReversalStore."""
        await self._execute(_NAME, {"id": reversal, "object": object_})

    async def settle(self, reversal: Reversal, status: Status, now: datetime) -> None:
        """See ReversalStore."""
        values = {"id": reversal.id, "status": status, "now": now, "before": _BEFORE[status]}
        async with self._database.transaction() as connection:
            # The payment first, as in `reserve`: two transactions on both rows never wait for each other.
            await connection.execute(_LOCK_PAYMENT, {"id": reversal.payment})
            row = (await connection.execute(_SETTLE, values)).first()
            if row is not None and status in _UNCOUNTED:
                await connection.execute(_COUNT, {"id": row[0], "minor": -row[1], "nano": -row[2]})

    async def claim_due(self, now: datetime, next_check_at: datetime, limit: int) -> list[Reversal]:
        """See ReversalStore."""
        values = {"now": now, "next_check_at": next_check_at, "limit": limit}
        async with self._database.transaction() as connection:
            return [_reversal(row) for row in await connection.execute(_CLAIM_DUE, values)]

    async def _execute(self, statement: TextClause, values: Mapping[str, Any]) -> None:
        async with self._database.transaction() as connection:
            await connection.execute(statement, values)


def _reversal(row: Any) -> Reversal:
    return Reversal(*row)
