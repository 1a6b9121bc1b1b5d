"""Monthly tables: which there are, and which may leave."""

from collections.abc import Sequence
from datetime import date, datetime

import msgspec

from billing.seals.domain.closes import month_after, start_of

PARENTS = ("transfers", "usage_records")
"""What is detached, in this order: a month's usage leaves once everything charged for it has left."""


class Partition(msgspec.Struct, frozen=True):
    """A table `name` of `parent`; `month` is None for the default one. `bytes` counts its indexes too."""

    name: str
    parent: str
    month: date | None
    attached: bool
    bytes: int
    detached_at: datetime | None = None


def due_for_detachment(
    partitions: Sequence[Partition], last_closed: date | None, now: datetime, retention_months: int
) -> list[Partition]:
    """What is older than `retention_months` whole months and closed, oldest first; 0 keeps everything."""
    if retention_months <= 0 or last_closed is None:
        return []
    months = now.year * 12 + now.month - 1 - retention_months
    oldest_kept = date(months // 12, months % 12 + 1, 1)
    due = [
        partition
        for partition in partitions
        if partition.attached
        and partition.parent in PARENTS
        and partition.month is not None
        and partition.month < oldest_kept
        and partition.month <= last_closed
    ]
    return sorted(due, key=lambda row: (PARENTS.index(row.parent), row.month))


def end_of(month: date) -> datetime:
    """The first moment after the month, UTC."""
    return start_of(month_after(month))
