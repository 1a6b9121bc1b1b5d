"""Months whose transfers were detached from the ledger's tables (seals.usecases.partitions)."""

from sqlalchemy import text

ARCHIVED_UNTIL = text(
    "SELECT (max(month) + interval '1 month') AT TIME ZONE 'UTC' FROM archives WHERE parent = 'transfers'"
)
"""The moment before which no transfer is in the tables any more, null when all are."""
