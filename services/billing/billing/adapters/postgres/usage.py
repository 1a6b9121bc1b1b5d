"""Usage records in PostgreSQL: written by the ledger's transaction, read by the account's owner."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import asyncpg
import msgspec
from sqlalchemy import RowMapping, TextClause, text

from billing.adapters.postgres.copy import copy_rows
from billing.domain.statements import ChargedUsage, Position, UsageFilter
from billing.domain.usage import Charge
from common.contracts.usage import PriceTerms, UsageRecord
from common.kit.db import Database

_TABLE = "usage_records"
_WRITTEN = (
    "id", "request_id", "account", "user_id", "spender", "lease", "operation", "model", "upstream_model",
    "channel", "group_name", "started_at", "duration_ms", "first_byte_ms", "status", "outcome", "streamed",
    "estimated", "partial", "quantities", "unit_pico", "price_version", "rate_micro", "cost_nano",
    "reserved_nano", "from_held_nano", "overage_nano", "uncollected_nano", "balance_after", "held_after",
    "transfer", "sequence", "posted_at", "app", "upstream_cost_nano", "free_nano", "terms",
)  # fmt: skip
_ENCODER = msgspec.json.Encoder()


async def insert_charges(driver: asyncpg.Connection, charges: Sequence[Charge], now: datetime) -> None:
    """Write the records of one transaction, in order."""
    if charges:
        await copy_rows(driver, _TABLE, _WRITTEN, [_row(charge, now) for charge in charges])


def _row(charge: Charge, now: datetime) -> tuple[object, ...]:
    record = charge.record
    return (
        record.id, record.request_id, record.account, record.user, record.spender, record.lease or None,
        record.operation, record.model, record.upstream_model, record.channel, record.group,
        charge.started_at, record.duration_ms, record.first_byte_ms, record.status, record.outcome,
        record.streamed, record.estimated, record.partial, _ENCODER.encode(record.quantities).decode(),
        _ENCODER.encode(record.unit_pico).decode(), record.price_version, record.rate_micro,
        record.cost_nano, record.reserved_nano, charge.from_held_nano, charge.overage_nano,
        charge.uncollected_nano, charge.balance_after, charge.held_after, charge.transfer or None,
        charge.sequence, now, record.app, record.upstream_cost_nano, charge.free_nano,
        None if record.terms is None else _ENCODER.encode(record.terms).decode(),
    )  # fmt: skip


_UUIDS = ("id", "account", "spender", "lease", "transfer")
STORED = ", ".join(f"{name}::text AS {name}" if name in _UUIDS else name for name in _WRITTEN)
"""The columns `stored_charge` reads."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def stored_charge(row: RowMapping) -> Charge:
    """The inverse of what `insert_charges` writes."""
    record = UsageRecord(
        row["id"], row["request_id"], row["account"], row["user_id"], row["spender"], row["lease"] or "",
        row["operation"], row["model"], row["upstream_model"], row["channel"], row["group_name"],
        (row["started_at"] - _EPOCH) // timedelta(milliseconds=1), row["duration_ms"], row["first_byte_ms"],
        row["status"], row["outcome"], row["quantities"], row["unit_pico"], row["price_version"],
        row["rate_micro"], row["cost_nano"], row["reserved_nano"], row["streamed"], row["estimated"],
        row["partial"], None if row["terms"] is None else msgspec.convert(row["terms"], PriceTerms),
        row["app"], row["upstream_cost_nano"],
    )  # fmt: skip
    return Charge(
        record, row["started_at"].astimezone(UTC), row["sequence"], row["from_held_nano"],
        row["overage_nano"], row["uncollected_nano"], row["transfer"] or "", row["balance_after"],
        row["held_after"], row["free_nano"],
    )  # fmt: skip


_COLUMNS = (
    "id::text, request_id, account::text, user_id, spender::text, operation, model, upstream_model, channel,"
    " group_name, started_at, duration_ms, first_byte_ms, status, outcome, streamed, estimated, partial,"
    " quantities, unit_pico, price_version, rate_micro, cost_nano, from_held_nano, overage_nano,"
    " uncollected_nano, balance_after, held_after, sequence, app, upstream_cost_nano, free_nano, terms,"
    " (SELECT coalesce(sum(f.amount_nano), 0)::bigint FROM charge_refunds AS f"
    " WHERE f.record = usage_records.id) AS refunded_nano"
)
# What is somebody's own is entered by an index of that; the other filters narrow what it finds. Everybody's
# is read by the time, whose index is on another expression of it: it is never chosen for one account, where
# it would pass over the rows of all.
_OWN_INDEX = frozenset(("account", "spender", "request_id"))
_LOCAL = "({} AT TIME ZONE 'UTC')"
_CONDITIONS = {
    "account": "account = CAST(:account AS uuid)",
    "spender": "spender = CAST(:spender AS uuid)",
    "model": "model = :model",
    "channel": "channel = :channel",
    "app": "app = :app",
    "operation": "operation = :operation",
    "outcome": "outcome = :outcome",
    "estimated": "estimated = :estimated",
    "partial": "partial = :partial",
    "request_id": "request_id = :request_id",
    "since": "started_at >= :since",
    "until": "started_at < :until",
}
_ONE = text(f"SELECT {_COLUMNS} FROM usage_records WHERE usage_records.id = CAST(:id AS uuid)")  # noqa: S608


class PostgresUsage:
    """See domain.ports.UsageReader."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def newest(self, wanted: UsageFilter, before: Position, limit: int) -> list[ChargedUsage]:
        """The records that pass the filter, before `before`, newest first."""
        values = {name: value for name in _CONDITIONS if (value := getattr(wanted, name)) is not None}
        position = {"before_at": before.started_at, "before_id": before.id, "limit": limit}
        async with self._database.transaction() as connection:
            rows = await connection.execute(list_statement(tuple(values)), values | position)
            return [_charged(row) for row in rows]

    async def find(self, record: str) -> ChargedUsage | None:
        """One record by its id."""
        async with self._database.transaction() as connection:
            row = (await connection.execute(_ONE, {"id": record})).first()
        return None if row is None else _charged(row)


def _charged(row: Any) -> ChargedUsage:
    charge = ChargedUsage(*row)
    if charge.terms is None:
        return charge
    return msgspec.structs.replace(charge, terms=msgspec.convert(charge.terms, PriceTerms))


@lru_cache(256)
def list_statement(names: tuple[str, ...]) -> TextClause:
    """The query of `newest` when these fields of the filter are given."""
    conditions = "".join(f" AND {_CONDITIONS[name]}" for name in names)
    time, before = "started_at", "CAST(:before_at AS timestamptz)"
    if _OWN_INDEX.isdisjoint(names):
        time, before = _LOCAL.format(time), _LOCAL.format(before)
        for name, sign in (("since", ">="), ("until", "<")):
            if name in names:
                conditions += f" AND {time} {sign} {_LOCAL.format(f'CAST(:{name} AS timestamptz)')}"
    return text(
        f"SELECT {_COLUMNS} FROM usage_records"  # noqa: S608  our own words
        f" WHERE ({time}, usage_records.id) < ({before}, CAST(:before_id AS uuid))"
        f"{conditions} ORDER BY {time} DESC, usage_records.id DESC LIMIT :limit"
    )
