"""The log of the BILLING stream: written by the ledger's transaction, kept for replay.

A row holds what one transaction told one account, so that many events of a busy account cost one row. The
bodies are the very bytes that are published. `position` comes from the sequence that transfers and usage
records have theirs from: one order over everything.
"""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from billing.adapters.postgres.copy import copy_rows
from common.kit.outbox import OutboxEvent

_TABLE = "billing_events"
_COLUMNS = ("account", "sequence", "last", "created_at", "events")
_ROOT = "billing."


async def insert_events(driver: asyncpg.Connection, events: Sequence[OutboxEvent], now: datetime) -> None:
    """Keep those of BILLING; each account's come in order, the account's row locked."""
    told: dict[str, list[OutboxEvent]] = {}
    for event in events:
        if event.subject.startswith(_ROOT):
            told.setdefault(event.subject.rpartition(".")[2], []).append(event)
    if told:
        await copy_rows(driver, _TABLE, _COLUMNS, [_row(*item, now) for item in told.items()])


def _row(account: str, events: list[OutboxEvent], now: datetime) -> tuple[object, ...]:
    bodies = b"[" + b",".join([event.payload for event in events]) + b"]"
    return (account, events[0].sequence, events[-1].sequence, now, bodies)
