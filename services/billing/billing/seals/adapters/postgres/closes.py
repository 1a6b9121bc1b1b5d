"""Closed months in PostgreSQL."""

from datetime import date, datetime
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.domain.audits import BEGINNING
from billing.seals.adapters.postgres.partitions import with_brief_lock
from billing.seals.domain.closes import Close, month_after, start_of
from billing.seals.domain.partitions import end_of
from billing.seals.domain.seals import GENESIS
from common.kit.db import Database

_LOCK_ID = 0x636C6F73  # "clos": one close at a time
_COLUMNS = (
    "month, last_position, seal, head, transfers, records, moved_nano::bigint, accounts, totals, previous,"
    " digest, closed_at"
)
_LIST = text(f"SELECT {_COLUMNS} FROM closes ORDER BY month")  # noqa: S608
_UNBARRED = text(
    "SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid"
    " WHERE i.inhparent = CAST('transfers' AS regclass) AND c.relname ~ '_[0-9]{4}_[0-9]{2}$'"
    " AND right(c.relname, 7) <= :month AND NOT EXISTS (SELECT FROM pg_constraint AS k"
    " WHERE k.conrelid = c.oid AND k.conname = c.relname || '_barred') ORDER BY c.relname"
)
_REMEMBER = text("INSERT INTO bars (month) VALUES (:month) ON CONFLICT DO NOTHING")
_UNSEALED = text(
    "SELECT count(*) FROM (SELECT FROM transfers WHERE posted_at < :until AND position >"
    " (SELECT coalesce(max(last_position), 0) FROM seals) LIMIT 1000) AS t"
)
_BALANCES = text("""
    INSERT INTO close_balances (month, account, debits, credits)
    SELECT :month, m.account, m.debits + coalesce(b.debits, 0), m.credits + coalesce(b.credits, 0)
    FROM (
        SELECT account, sum(debit) AS debits, sum(credit) AS credits FROM (
            SELECT debit_account AS account, amount AS debit, 0 AS credit FROM transfers
            WHERE posted_at >= :since AND posted_at < :until
            UNION ALL
            SELECT credit_account, 0, amount FROM transfers
            WHERE posted_at >= :since AND posted_at < :until) AS sides
        GROUP BY account
    ) AS m LEFT JOIN LATERAL (
        SELECT debits, credits FROM close_balances
        WHERE account = m.account ORDER BY month DESC LIMIT 1
    ) AS b ON true
""")
_SUMS = text("""
    SELECT t.transfers, t.moved_nano, t.last_position, r.records, b.accounts, b.totals FROM
        (SELECT count(*) AS transfers, coalesce(sum(amount), 0) AS moved_nano, max(position) AS last_position
            FROM transfers WHERE posted_at >= :since AND posted_at < :until) AS t,
        (SELECT count(*) AS records FROM usage_records
            WHERE posted_at >= :since AND posted_at < :until AND started_at < :until + interval '1 day') AS r,
        (SELECT count(*) AS accounts, sha256(convert_to(coalesce(string_agg(concat_ws('|', account, debits,
            credits) || E'\\n', '' ORDER BY account), ''), 'UTF8')) AS totals
            FROM close_balances WHERE month = :month) AS b
""")
_SEAL = text(
    "SELECT number, digest FROM seals WHERE last_position >= :position ORDER BY last_position LIMIT 1"
)
_INSERT = text(
    "INSERT INTO closes VALUES (:month, :last_position, :seal, :head, :transfers, :records, :moved_nano,"
    " :accounts, :totals, :previous, :digest, :closed_at)"
)


class PostgresCloses:
    """See seals.domain.ports.CloseStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_(self) -> list[Close]:
        """See the port."""
        async with self._database.transaction() as connection:
            return await _closes(connection)

    async def bar(self, month: date) -> None:
        """See the port: a constraint that no new row can satisfy, on tables that nobody writes any more.

        The default partition is barred up to the month's end. `bars` is what the ledger's clock reads.
        """

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(_REMEMBER, {"month": month})
            names = await connection.scalars(_UNBARRED, {"month": f"{month:%Y_%m}"})
            for name in names.all():
                await connection.execute(
                    text(f"ALTER TABLE {name} ADD CONSTRAINT {name}_barred CHECK (false) NOT VALID")
                )
            await connection.execute(
                text(
                    "ALTER TABLE transfers_default DROP CONSTRAINT IF EXISTS transfers_default_barred,"
                    " ADD CONSTRAINT transfers_default_barred"
                    f" CHECK (posted_at >= '{end_of(month).isoformat()}') NOT VALID"
                )
            )

        await with_brief_lock(self._database, work)

    async def unsealed(self, month: date) -> int:
        """See the port; by the index on position."""
        async with self._database.transaction() as connection:
            return int(await connection.scalar(_UNSEALED, {"until": end_of(month)}) or 0)

    async def close(self, month: date, now: datetime) -> Close:
        """See the port."""
        async with self._database.transaction() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": _LOCK_ID})
            closes = await _closes(connection)
            for done in closes:
                if done.month == month:
                    return done
            await connection.execute(text("SET LOCAL work_mem = '256MB'"))
            last = closes[-1] if closes else None
            since = BEGINNING if last is None else start_of(month_after(last.month))
            period = {"month": month, "since": since, "until": end_of(month)}
            await connection.execute(_BALANCES, period)
            sums = (await connection.execute(_SUMS, period)).one()
            close = await _row(connection, month, last, sums, now)
            await connection.execute(_INSERT, msgspec.structs.asdict(close))
            return close


async def _closes(connection: AsyncConnection) -> list[Close]:
    return [Close(*row) for row in await connection.execute(_LIST)]


async def _row(
    connection: AsyncConnection, month: date, last: Close | None, sums: Any, now: datetime
) -> Close:
    position = sums.last_position or (0 if last is None else last.last_position)
    seal = (await connection.execute(_SEAL, {"position": position})).first()
    draft = Close(
        month=month,
        last_position=position,
        seal=0 if seal is None else seal.number,
        head=GENESIS if seal is None else seal.digest,
        transfers=sums.transfers,
        records=sums.records,
        moved_nano=int(sums.moved_nano),
        accounts=sums.accounts,
        totals=sums.totals,
        previous=GENESIS if last is None else last.digest,
        digest=b"",
        closed_at=now,
    )
    return msgspec.structs.replace(draft, digest=draft.expected())
