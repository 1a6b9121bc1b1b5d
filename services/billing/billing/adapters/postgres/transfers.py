"""Transfers as the ledger's transactions write them."""

from datetime import datetime

from billing.adapters.postgres.copy import RowInsert
from billing.domain.books import Transfer

TRANSFER_INSERT = RowInsert(
    "transfers",
    {
        "id": "uuid",
        "kind": "text",
        "debit_account": "bigint",
        "credit_account": "bigint",
        "amount": "bigint",
        "debit_after": "bigint",
        "credit_after": "bigint",
        "reference": "uuid",
        "customer": "uuid",
        "posted_at": "timestamptz",
    },
)


def transfer_row(now: datetime, row: Transfer, before: dict[int, int]) -> tuple[object, ...]:
    """For TRANSFER_INSERT; `before` are balances, by account, of those that the transfer only added to."""
    return (
        row.id,
        row.kind,
        row.debit,
        row.credit,
        row.amount_nano,
        row.debit_after + before.get(row.debit, 0),
        row.credit_after + before.get(row.credit, 0),
        row.reference,
        row.customer,
        now,
    )
