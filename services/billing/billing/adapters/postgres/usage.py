"""Usage records in PostgreSQL: written by the ledger's transaction, read by the account's owner."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.domain.statements import ChargedUsage, Position
from billing.domain.usage import Charge
from common.kit.db import Database

_INSERT = text(
    "INSERT INTO usage_records (id, request_id, account, user_id, spender, lease, operation, model,"
    " upstream_model, channel, group_name, started_at, duration_ms, first_byte_ms, status, outcome, streamed,"
    " estimated, partial, quantities, unit_pico, price_version, rate_micro, cost_nano, reserved_nano,"
    " from_held_nano, overage_nano, uncollected_nano, balance_after, held_after, transfer, sequence,"
    " posted_at) SELECT u.*, :now FROM unnest(CAST(:ids AS uuid[]), CAST(:request_ids AS text[]),"
    " CAST(:accounts AS uuid[]), CAST(:users AS text[]), CAST(:spenders AS uuid[]), CAST(:leases AS uuid[]),"
    " CAST(:operations AS text[]), CAST(:models AS text[]), CAST(:upstream_models AS text[]),"
    " CAST(:channels AS text[]), CAST(:groups AS text[]), CAST(:started_at AS timestamptz[]),"
    " CAST(:durations AS int[]), CAST(:first_bytes AS int[]), CAST(:statuses AS int[]),"
    " CAST(:outcomes AS text[]), CAST(:streamed AS boolean[]), CAST(:estimated AS boolean[]),"
    " CAST(:partial AS boolean[]), CAST(CAST(:quantities AS text[]) AS jsonb[]),"
    " CAST(CAST(:unit_pico AS text[]) AS jsonb[]), CAST(:price_versions AS int[]),"
    " CAST(:rates AS bigint[]), CAST(:costs AS bigint[]), CAST(:reserved AS bigint[]),"
    " CAST(:from_held AS bigint[]), CAST(:overage AS bigint[]), CAST(:uncollected AS bigint[]),"
    " CAST(:balance_after AS bigint[]), CAST(:held_after AS bigint[]), CAST(:transfers AS uuid[]),"
    " CAST(:sequences AS bigint[])) AS u"
)


async def insert_charges(connection: AsyncConnection, charges: Sequence[Charge], now: datetime) -> None:
    """Write the records of one transaction, in order."""
    if not charges:
        return
    records = [charge.record for charge in charges]
    encode = msgspec.json.Encoder().encode
    await connection.execute(
        _INSERT,
        {
            "now": now,
            "ids": [record.id for record in records],
            "request_ids": [record.request_id for record in records],
            "accounts": [record.account for record in records],
            "users": [record.user for record in records],
            "spenders": [record.spender for record in records],
            "leases": [record.lease or None for record in records],
            "operations": [record.operation for record in records],
            "models": [record.model for record in records],
            "upstream_models": [record.upstream_model for record in records],
            "channels": [record.channel for record in records],
            "groups": [record.group for record in records],
            "started_at": [charge.started_at for charge in charges],
            "durations": [record.duration_ms for record in records],
            "first_bytes": [record.first_byte_ms for record in records],
            "statuses": [record.status for record in records],
            "outcomes": [record.outcome for record in records],
            "streamed": [record.streamed for record in records],
            "estimated": [record.estimated for record in records],
            "partial": [record.partial for record in records],
            "quantities": [encode(record.quantities).decode() for record in records],
            "unit_pico": [encode(record.unit_pico).decode() for record in records],
            "price_versions": [record.price_version for record in records],
            "rates": [record.rate_micro for record in records],
            "costs": [record.cost_nano for record in records],
            "reserved": [record.reserved_nano for record in records],
            "from_held": [charge.from_held_nano for charge in charges],
            "overage": [charge.overage_nano for charge in charges],
            "uncollected": [charge.uncollected_nano for charge in charges],
            "balance_after": [charge.balance_after for charge in charges],
            "held_after": [charge.held_after for charge in charges],
            "transfers": [charge.transfer or None for charge in charges],
            "sequences": [charge.sequence for charge in charges],
        },
    )


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
_ONE = text(f"SELECT {_COLUMNS} FROM usage_records WHERE usage_records.id = CAST(:id AS uuid)")  # noqa: S608


class PostgresUsage:
    """See domain.ports.UsageReader."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def newest(self, account: str, before: Position, limit: int) -> list[ChargedUsage]:
        """The account's records before `before`, newest first."""
        query = {"account": account, "started_at": before.started_at, "id": before.id, "limit": limit}
        async with self._database.transaction() as connection:
            return [ChargedUsage(*row) for row in await connection.execute(_LIST, query)]

    async def find(self, record: str) -> ChargedUsage | None:
        """One record by its id."""
        async with self._database.transaction() as connection:
            row = (await connection.execute(_ONE, {"id": record})).first()
        return None if row is None else ChargedUsage(*row)
