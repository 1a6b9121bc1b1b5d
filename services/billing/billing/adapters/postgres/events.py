"""The log of the BILLING stream: written by the ledger's transaction, kept for replay.

A row holds what one transaction told one account, so that many events of a busy account cost one row. The
bodies are the very bytes that are published. `position` comes from the sequence that transfers and usage
records have theirs from: one order over everything.
"""

from collections.abc import Sequence
from datetime import datetime

from billing.adapters.postgres.copy import RowInsert
from common.kit.outbox import OutboxEvent

EVENT_INSERT = RowInsert(
    "billing_events",
    {
        "account": "uuid",
        "sequence": "bigint",
        "last": "bigint",
        "created_at": "timestamptz",
        "events": "bytea",
    },
)
_ROOT = "billing."


def event_rows(events: Sequence[OutboxEvent], now: datetime) -> list[tuple[object, ...]]:
    """For EVENT_INSERT those of BILLING; each account's come in order, the account's row locked."""
    told: dict[str, list[OutboxEvent]] = {}
    for event in events:
        if event.subject.startswith(_ROOT):
            told.setdefault(event.subject.rpartition(".")[2], []).append(event)
    return [_row(*item, now) for item in told.items()]


def _row(account: str, events: list[OutboxEvent], now: datetime) -> tuple[object, ...]:
    bodies = b"[" + b",".join([event.payload for event in events]) + b"]"
    return (account, events[0].sequence, events[-1].sequence, now, bodies)
