"""Usage records in PostgreSQL: written by the ledger's transaction, read by the account's owner."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.adapters.postgres.copy import copy_rows
from billing.domain.statements import ChargedUsage, Position
from billing.domain.usage import Charge
from common.kit.db import Database

_TABLE = "usage_records"
_WRITTEN = (
    "id", "request_id", "account", "user_id", "spender", "lease", "operation", "model", "upstream_model",
    "channel", "group_name", "started_at", "duration_ms", "first_byte_ms", "status", "outcome", "streamed",
    "estimated", "partial", "quantities", "unit_pico", "price_version", "rate_micro", "cost_nano",
    "reserved_nano", "from_held_nano", "overage_nano", "uncollected_nano", "balance_after", "held_after",
    "transfer", "sequence", "posted_at",
)  # fmt: skip
_ENCODER = msgspec.json.Encoder()


async def insert_charges(connection: AsyncConnection, charges: Sequence[Charge], now: datetime) -> None:
    """Write the records of one transaction, in order."""
    if charges:
        await copy_rows(connection, _TABLE, _WRITTEN, [_row(charge, now) for charge in charges])


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
        charge.sequence, now,
    )  # fmt: skip


_COLUMNS = (
    "id::text, request_id, account::text, user_id, spender::text, operation, model, upstream_model, channel,"
    " group_name, started_at, duration_ms, first_byte_ms, status, outcome, streamed, estimated, partial,"
    " quantities, unit_pico, price_version, rate_micro, cost_nano, from_held_nano, overage_nano,"
    " uncollected_nano, balance_after, held_after, sequence"
)
_LIST = text(
    f"SELECT {_COLUMNS} FROM usage_records WHERE account = CAST(:account AS uuid)"  # noqa: S608
    " AND (started_at, usage_records.id) < (:started_at, CAST(:id AS uuid))"
    " ORDER BY started_at DESC, usage_records.id DESC LIMIT :limit"
)
# Record ids are UUIDv7: their order is the order of time, and the primary key's index has it.
_ALL = text(
    f"SELECT {_COLUMNS} FROM usage_records WHERE usage_records.id < CAST(:id AS uuid)"  # noqa: S608
    " ORDER BY usage_records.id DESC LIMIT :limit"
)
_ONE = text(f"SELECT {_COLUMNS} FROM usage_records WHERE usage_records.id = CAST(:id AS uuid)")  # noqa: S608


class PostgresUsage:
    """See domain.ports.UsageReader."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def newest(self, account: str | None, before: Position, limit: int) -> list[ChargedUsage]:
        """The account's records before `before`, or everybody's, newest first."""
        query = {"id": before.id, "limit": limit}
        statement = _ALL
        if account is not None:
            statement = _LIST
            query |= {"account": account, "started_at": before.started_at}
        async with self._database.transaction() as connection:
            return [ChargedUsage(*row) for row in await connection.execute(statement, query)]

    async def find(self, record: str) -> ChargedUsage | None:
        """One record by its id."""
        async with self._database.transaction() as connection:
            row = (await connection.execute(_ONE, {"id": record})).first()
        return None if row is None else ChargedUsage(*row)
