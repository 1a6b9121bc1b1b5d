"""Invoices in PostgreSQL: what the ledger says of a period, who buys, and what was issued."""

from datetime import date, datetime
from typing import Any

import msgspec
from sqlalchemy import text

from billing.domain.accounts import REVENUE
from billing.statements.adapters.postgres.transfers import (
    SKEW,
    SNAPSHOT,
    balance_after,
    last_position,
    ledger_accounts,
)
from billing.statements.domain.invoices import (
    Books,
    Invoice,
    IssuedInvoice,
    MovementLine,
    Party,
    UsageLine,
    invoice_number,
)
from common.kit.db import Database

# The period is a range of the ledger's own order, so that it begins exactly where the one before it ended.
_PERIOD = f"""
    SELECT t.kind, t.amount, t.reference, t.debit_account, t.credit_account,
        t.debit_account = ANY(:own) AS is_debit
    FROM transfers AS t
    WHERE t.customer = CAST(:account AS uuid) AND t.position > :low AND t.position <= :high
    AND t.posted_at >= CAST(:since AS timestamptz) - {SKEW}
    AND t.posted_at < CAST(:until AS timestamptz) + {SKEW}
    AND (t.debit_account = ANY(:own)) <> (t.credit_account = ANY(:own))
"""  # noqa: S608  our own words
_USAGE = text(f"""
    WITH paid AS MATERIALIZED (
        SELECT reference, min(kind) AS kind, sum(amount) AS amount FROM ({_PERIOD}) AS moved
        WHERE credit_account = (SELECT id FROM accounts WHERE name = '{REVENUE}') GROUP BY reference
    ), lines AS MATERIALIZED (
        SELECT coalesce(u.model, paid.kind) AS title, paid.amount, coalesce(u.free_nano, 0) AS free,
            coalesce(u.quantities, '{{}}') AS quantities
        FROM paid LEFT JOIN usage_records AS u ON u.id = paid.reference
    ), sums AS (
        SELECT title, count(*) AS requests, sum(amount) AS amount, sum(free) AS free FROM lines GROUP BY title
    ), units AS (
        SELECT title, jsonb_object_agg(unit, quantity) AS quantities FROM (
            SELECT title, key AS unit, sum(value::numeric) AS quantity
            FROM lines, jsonb_each_text(lines.quantities) GROUP BY title, key
        ) AS counted GROUP BY title
    )
    SELECT title, requests, amount, free, coalesce(quantities, '{{}}') FROM sums LEFT JOIN units USING (title)
    ORDER BY amount DESC, title
""")  # noqa: S608  our own words
_MOVEMENTS = text(f"""
    SELECT moved.kind, a.name, count(*), sum(CASE WHEN is_debit THEN -amount ELSE amount END)
    FROM ({_PERIOD}) AS moved
    JOIN accounts AS a ON a.id = CASE WHEN is_debit THEN credit_account ELSE debit_account END
    WHERE NOT (is_debit AND a.name = '{REVENUE}')
    GROUP BY moved.kind, a.name, is_debit ORDER BY moved.kind, a.name
""")  # noqa: S608  our own words
_PARTY = text("SELECT details FROM billing_details WHERE account = CAST(:account AS uuid)")
_PUT_PARTY = text(
    "INSERT INTO billing_details (account, details, changed_at)"
    " VALUES (CAST(:account AS uuid), CAST(:details AS jsonb), :now) ON CONFLICT (account)"
    " DO UPDATE SET details = excluded.details, changed_at = excluded.changed_at"
)
# The row stays locked until the invoice is in: a number that is not used is not gone.
_NEXT_NUMBER = text(
    "INSERT INTO invoice_numbers AS n (series, last) VALUES (:series, 1)"
    " ON CONFLICT (series) DO UPDATE SET last = n.last + 1 RETURNING last"
)
_BACK = text("UPDATE invoice_numbers SET last = last - 1 WHERE series = :series")
_INSERT = text(
    "INSERT INTO invoices (series, number, account, month, document, issued_at)"
    " VALUES (:series, :number, CAST(:account AS uuid), :month, CAST(:document AS jsonb), :now)"
)
_COLUMNS = "SELECT series, number, document FROM invoices"
_OF_MONTH = text(f"{_COLUMNS} WHERE account = CAST(:account AS uuid) AND month = :month")
_ONE = text(f"{_COLUMNS} WHERE series = :series AND number = :number")
# Own ones by the index on (account, month), everybody's by the primary key.
_OWN = text(
    f"{_COLUMNS} WHERE account = CAST(:account AS uuid) AND month < :before ORDER BY month DESC LIMIT :limit"
)
_ALL = text(f"{_COLUMNS} WHERE series = :series AND number < :before ORDER BY number DESC LIMIT :limit")
_ENCODER = msgspec.json.Encoder()


class PostgresInvoices:
    """See domain.ports.InvoiceStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def books(self, account: str, since: datetime, until: datetime) -> Books:
        """See InvoiceStore."""
        async with self._database.transaction() as connection:
            await connection.execute(SNAPSHOT)
            low = await last_position(connection, account, since)
            high = await last_position(connection, account, until)
            opening = await balance_after(connection, account, low, since)
            closing = await balance_after(connection, account, high, until)
            values = {
                "account": account,
                "low": low,
                "high": high,
                "since": since,
                "until": until,
                "own": list((await ledger_accounts(connection, account)).values()),
            }
            usage = (await connection.execute(_USAGE, values)).all()
            movements = (await connection.execute(_MOVEMENTS, values)).all()
        return Books(
            opening.wallet_nano + opening.held_nano,
            closing.wallet_nano + closing.held_nano,
            tuple(_usage_line(*row) for row in usage),
            tuple(MovementLine(row[0], row[1], row[2], int(row[3])) for row in movements),
        )

    async def party(self, account: str) -> Party | None:
        """See InvoiceStore."""
        async with self._database.transaction() as connection:
            details = await connection.scalar(_PARTY, {"account": account})
        return None if details is None else msgspec.convert(details, Party)

    async def put_party(self, account: str, party: Party, now: datetime) -> None:
        """See InvoiceStore."""
        values = {"account": account, "details": _ENCODER.encode(party).decode(), "now": now}
        async with self._database.transaction() as connection:
            await connection.execute(_PUT_PARTY, values)

    async def issue(self, series: str, month: date, invoice: Invoice, now: datetime) -> IssuedInvoice:
        """See InvoiceStore. Issuers stand in line for the number; the second finds what the first made."""
        key = {"account": invoice.account, "month": month}
        async with self._database.transaction() as connection:
            number = int(await connection.scalar(_NEXT_NUMBER, {"series": series}))
            row = (await connection.execute(_OF_MONTH, key)).first()
            if row is not None:
                await connection.execute(_BACK, {"series": series})
                return _issued(*row)
            issued = msgspec.structs.replace(
                invoice, number=invoice_number(series, number), issued_at=now.isoformat()
            )
            document = _ENCODER.encode(issued).decode()
            values = {"series": series, "number": number, "document": document, "now": now}
            await connection.execute(_INSERT, key | values)
        return IssuedInvoice(series, number, issued)

    async def of_month(self, account: str, month: date) -> IssuedInvoice | None:
        """See InvoiceStore."""
        async with self._database.transaction() as connection:
            row = (await connection.execute(_OF_MONTH, {"account": account, "month": month})).first()
        return None if row is None else _issued(*row)

    async def find(self, series: str, number: int) -> IssuedInvoice | None:
        """See InvoiceStore."""
        async with self._database.transaction() as connection:
            row = (await connection.execute(_ONE, {"series": series, "number": number})).first()
        return None if row is None else _issued(*row)

    async def of_account(self, account: str, before: date, limit: int) -> list[IssuedInvoice]:
        """See InvoiceStore."""
        values = {"account": account, "before": before, "limit": limit}
        async with self._database.transaction() as connection:
            return [_issued(*row) for row in await connection.execute(_OWN, values)]

    async def of_series(self, series: str, before: int, limit: int) -> list[IssuedInvoice]:
        """See InvoiceStore."""
        values = {"series": series, "before": before, "limit": limit}
        async with self._database.transaction() as connection:
            return [_issued(*row) for row in await connection.execute(_ALL, values)]


def _issued(series: str, number: int, document: Any) -> IssuedInvoice:
    return IssuedInvoice(series, number, msgspec.convert(document, Invoice))


def _usage_line(title: str, requests: int, amount: Any, free: Any, quantities: dict[str, Any]) -> UsageLine:
    counts = {unit: int(count) for unit, count in sorted(quantities.items())}
    return UsageLine(title, requests, int(amount), int(free), counts)
