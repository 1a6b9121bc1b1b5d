"""The chain in PostgreSQL. Rows are read by the index on `position`, in bounded ranges, without a lock."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.adapters.postgres.positions import settled_position
from billing.domain.audits import Period
from billing.seals.domain.seals import BATCH, RowsDigest, Seal, next_seal
from common.kit.db import Database

_LOCK_ID = 0x7365616C  # "seal": one replica seals at a time

# One line per row. Free text is JSON, so that no text can pass for another field or row.
_TRANSFER_LINE = """
    concat_ws('|', 't', position, id, debit_account, credit_account, amount, debit_after, credit_after,
        coalesce(customer::text, ''), reference, currency, (extract(epoch FROM posted_at) * 1000000)::bigint,
        to_json(kind)) || E'\\n'
"""
_RECORD_LINE = """
    concat_ws('|', 'u', position, id, account, spender, coalesce(lease::text, ''),
        (extract(epoch FROM started_at) * 1000000)::bigint, duration_ms, coalesce(first_byte_ms::text, ''),
        status, streamed, estimated, partial, price_version, rate_micro, cost_nano, reserved_nano,
        from_held_nano, overage_nano, uncollected_nano, free_nano, coalesce(upstream_cost_nano::text, ''),
        balance_after, held_after,
        coalesce(transfer::text, ''), sequence, (extract(epoch FROM posted_at) * 1000000)::bigint,
        jsonb_build_array(request_id, user_id, operation, model, upstream_model, channel, group_name,
            outcome, app, quantities, unit_pico, terms)) || E'\\n'
"""
_ROWS = """
    SELECT count(*) FILTER (WHERE of = 't') AS transfers, count(*) FILTER (WHERE of = 'u') AS records,
        min(posted_at) AS posted_from, max(posted_at) AS posted_to,
        sha256(convert_to(coalesce(string_agg(line, '' ORDER BY position, line), ''), 'UTF8')) AS digest
    FROM ({tables}) AS lines
"""
_LINES = {
    "transfers": f"SELECT 't' AS of, position, posted_at, {_TRANSFER_LINE} AS line",
    "usage_records": f"SELECT 'u' AS of, position, posted_at, {_RECORD_LINE} AS line",
}
_COLUMNS = (
    "number, first_position, last_position, transfers, records, posted_from, posted_to, rows_digest,"
    " previous, digest, sealed_at"
)
_HEAD = text(f"SELECT {_COLUMNS} FROM seals ORDER BY number DESC LIMIT 1")  # noqa: S608
_NEWEST = text(
    f"SELECT {_COLUMNS} FROM seals WHERE number < :before ORDER BY number DESC LIMIT :limit"  # noqa: S608
)
_READ = text(
    f"SELECT {_COLUMNS} FROM seals WHERE number BETWEEN :first AND :last ORDER BY number"  # noqa: S608
)
_INSERT = text(
    f"INSERT INTO seals ({_COLUMNS}) VALUES (:number, :first_position, :last_position, :transfers,"  # noqa: S608
    " :records, :posted_from, :posted_to, :rows_digest, :previous, :digest, :sealed_at)"
)
_LAST_POSITION = text(
    "SELECT greatest((SELECT max(position) FROM transfers), (SELECT max(position) FROM usage_records))"
    " AS rows, coalesce((SELECT max(last_position) FROM seals), 0) AS sealed"
)
_NUMBERS = text(
    "SELECT CASE WHEN CAST(:until AS timestamptz) IS NULL THEN 1 ELSE coalesce(min(number), 1) END,"
    " coalesce(max(number), 0) FROM seals"
    " WHERE CAST(:until AS timestamptz) IS NULL OR (posted_from < :until AND posted_to >= :since)"
)
_FIND = text("SELECT number FROM seals WHERE digest = :digest")
_ARCHIVES = text("SELECT name, parent, last_position, to_regclass(name) IS NOT NULL AS is_here FROM archives")


class PostgresSeals:
    """See seals.domain.ports.SealStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def settled(self) -> int:
        """See the port. Positions of nothing but events are not worth a seal of their own."""
        async with self._database.transaction() as connection:
            rows, sealed = (await connection.execute(_LAST_POSITION)).one()
        if rows is None or rows <= sealed:
            return 0
        return await settled_position(self._database, sealed)

    async def seal(self, settled: int, now: datetime) -> Seal | None:
        """See the port; the lock ends with the transaction."""
        async with self._database.transaction() as connection:
            locked = await connection.scalar(text("SELECT pg_try_advisory_xact_lock(:id)"), {"id": _LOCK_ID})
            if not locked:
                return None
            found = (await connection.execute(_HEAD)).first()
            head = None if found is None else Seal(*found)
            first = 1 if head is None else head.last_position + 1
            last = min(settled, first + BATCH - 1)
            if last < first:
                return None
            rows = await _digest(connection, first, last)
            seal = next_seal(head, last, rows, now)
            await connection.execute(_INSERT, msgspec.structs.asdict(seal))
            return seal

    async def newest(self, before: int | None, limit: int) -> list[Seal]:
        """See the port; by the primary key."""
        query = {"before": 2**63 - 1 if before is None else before, "limit": limit}
        async with self._database.transaction() as connection:
            return [Seal(*row) for row in await connection.execute(_NEWEST, query)]

    async def numbers(self, period: Period | None) -> tuple[int, int]:
        """See the port; the chain is short (a row for ten thousand) and read through."""
        query = {
            "since": None if period is None else period.start,
            "until": None if period is None else period.end,
        }
        async with self._database.transaction() as connection:
            first, last = (await connection.execute(_NUMBERS, query)).one()
        return first, last

    async def read(self, first: int, last: int) -> list[Seal]:
        """See the port."""
        async with self._database.transaction() as connection:
            return [Seal(*row) for row in await connection.execute(_READ, {"first": first, "last": last})]

    async def recompute(self, first: int, last: int) -> Sequence[RowsDigest | None]:
        """See the port; detached tables are read as long as they are in the database."""
        async with self._database.transaction() as connection:
            archives = (await connection.execute(_ARCHIVES)).all()
            gone = max((row.last_position for row in archives if not row.is_here), default=0)
            here = [(row.name, row.parent) for row in archives if row.is_here]
            seals = await connection.execute(_READ, {"first": first, "last": last})
            spans = [(row.first_position, row.last_position) for row in seals]
            return [
                None if start <= gone else await _digest(connection, start, end, here) for start, end in spans
            ]

    async def find(self, digest: bytes) -> int | None:
        """See the port."""
        async with self._database.transaction() as connection:
            number: int | None = await connection.scalar(_FIND, {"digest": digest})
        return number


async def _digest(
    connection: AsyncConnection, first: int, last: int, detached: Sequence[tuple[str, str]] = ()
) -> RowsDigest:
    tables = [*((table, table) for table in _LINES), *detached]
    statement = text(_ROWS.format(tables=_sources(tables)))
    row = (await connection.execute(statement, {"first": first, "last": last})).one()
    return RowsDigest(*row)


def _sources(tables: Sequence[tuple[str, str]]) -> str:
    """The lines of tables, each like its parent; names are the ledger's own, never a caller's."""
    return " UNION ALL ".join(
        f"{_LINES[parent]} FROM {name} WHERE position BETWEEN :first AND :last" for name, parent in tables
    )
