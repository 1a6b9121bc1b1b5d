"""Holds in PostgreSQL: their part of the ledger's transactions, and what is read of them."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import asyncpg
import msgspec
from sqlalchemy import text

from billing.adapters.postgres.archives import ARCHIVED_UNTIL
from billing.adapters.postgres.copy import RowUpdate, copy_rows
from billing.domain.audits import BEGINNING
from billing.domain.holds import Hold, State
from billing.domain.statements import Position
from common.kit.db import Database

_COLUMNS = (
    "id", "account", "spender", "amount_nano", "opened_at", "expires_at", "purpose", "reference", "app",
    "paid_only", "state", "captured_nano", "released_nano", "refunded_nano", "free_nano",
    "refunded_free_nano", "credits", "refunds", "resolved_at",
)  # fmt: skip
_SELECTED = ", ".join(
    f"{column}::text" if column in {"id", "account", "spender", "credits", "refunds"} else column
    for column in _COLUMNS
)
_READ = f"SELECT {_SELECTED} FROM holds WHERE id = ANY($1::uuid[])"  # noqa: S608  names of our own
HOLD_UPDATE = RowUpdate(
    "holds",
    {
        "id": "uuid",
        "amount_nano": "bigint",
        "expires_at": "timestamptz",
        "state": "text",
        "captured_nano": "bigint",
        "released_nano": "bigint",
        "refunded_nano": "bigint",
        "free_nano": "bigint",
        "refunded_free_nano": "bigint",
        "credits": "jsonb",
        "refunds": "jsonb",
        "resolved_at": "timestamptz",
    },
    credits="credits_json",
    refunds="refunds_json",
)
# The table's own CHECKs say that a hold is resolved once and adds up; here, that the transfers say the same.
# A hold may be gone (see _PRUNE) when it gave everything back, or when it began in months that are detached.
HOLDS_CHECK = """
    WITH moved AS (
        SELECT reference, sum(amount) FILTER (WHERE kind IN ('hold_open', 'hold_extend', 'hold_charge'))
                AS held,
            sum(amount) FILTER (WHERE kind IN ('hold_capture', 'hold_charge')) AS captured,
            sum(amount) FILTER (WHERE kind IN ('hold_release', 'hold_void', 'hold_expire')) AS released,
            sum(amount) FILTER (WHERE kind = 'hold_refund') AS refunded,
            count(DISTINCT kind) FILTER (
                WHERE kind IN ('hold_capture', 'hold_charge', 'hold_void', 'hold_expire')) AS ends
        FROM transfers WHERE kind LIKE 'hold\\_%' AND posted_at >= :since GROUP BY reference
    ), told AS (
        SELECT h.id, (SELECT coalesce(sum(value::bigint), 0) FROM jsonb_each_text(h.credits)) AS credited,
            (SELECT coalesce(sum(value::bigint), 0) FROM jsonb_each_text(h.refunds)) AS debited
        FROM holds AS h
    ), compared AS (
        SELECT coalesce(h.id, m.reference) AS id, h.id IS NULL AS gone,
            h.id IS NULL AND CASE WHEN m.held IS NULL THEN CAST(:since AS timestamptz) <= 'epoch'
                ELSE m.held IS DISTINCT FROM m.released OR m.captured IS NOT NULL END AS unknown,
            coalesce(m.ends, 0) > 1 AS twice,
            h.opened_at >= :since AND (h.amount_nano, h.captured_nano, h.released_nano, h.refunded_nano)
                IS DISTINCT FROM (coalesce(m.held, 0), coalesce(m.captured, 0), coalesce(m.released, 0),
                    coalesce(m.refunded, 0)) AS unpaid,
            (t.credited, t.debited) IS DISTINCT FROM (h.captured_nano, h.refunded_nano) AS shares
        FROM holds AS h JOIN told AS t ON t.id = h.id FULL JOIN moved AS m ON m.reference = h.id
    ), counted AS (
        SELECT c.account, c.holds_nano <> coalesce(o.held, 0) OR c.paid_holds_nano <> coalesce(o.paid, 0)
            OR c.paid_holds_nano > a.balance - c.free_nano AS wrong
        FROM customers AS c LEFT JOIN (
            SELECT account, sum(amount_nano) AS held, sum(amount_nano) FILTER (WHERE paid_only) AS paid
            FROM holds WHERE state = 'open' GROUP BY account
        ) AS o ON o.account = c.account LEFT JOIN (
            SELECT customer, sum(credits - debits) AS balance FROM accounts GROUP BY customer
        ) AS a ON a.customer = c.account
    )
    SELECT (SELECT count(*) FROM holds) AS holds,
        count(*) FILTER (WHERE gone AND NOT unknown) AS forgotten,
        count(*) FILTER (WHERE unknown) AS bad_without_hold,
        count(*) FILTER (WHERE twice) AS bad_resolved_twice,
        count(*) FILTER (WHERE unpaid) AS bad_transfers,
        count(*) FILTER (WHERE shares AND NOT gone) AS bad_shares,
        (SELECT count(*) FROM counted WHERE wrong) AS bad_accounts,
        coalesce(min(id::text) FILTER (WHERE unknown OR twice OR unpaid OR (shares AND NOT gone)),
            (SELECT min(account::text) FROM counted WHERE wrong)) AS first
    FROM compared
"""
_DUE = text(
    "SELECT id::text FROM holds WHERE state = 'open' AND expires_at <= :cutoff"
    " ORDER BY expires_at LIMIT :limit"
)
# What gave everything back is forgotten after a while, what was captured with its transfers, since until then
# it may be refunded and the audit needs it. The call that opened a hold goes with it, so that its repetition
# can never meet a hold that is there.
_FORGET_HOLDS = """
    WITH found AS MATERIALIZED ({found}), calls AS (
        DELETE FROM operations WHERE operations.id = ANY(ARRAY(SELECT found.id FROM found))
    )
    DELETE FROM holds WHERE holds.id = ANY(ARRAY(SELECT found.id FROM found))
"""
_RETURNED = """
    SELECT h.id FROM holds AS h WHERE h.state IN ('voided', 'expired') AND h.resolved_at < :before
    ORDER BY h.resolved_at LIMIT :limit
"""
_DETACHED = """
    SELECT h.id FROM holds AS h WHERE h.opened_at < :detached AND h.resolved_at < :detached
    ORDER BY h.opened_at LIMIT :limit
"""
_FORGET_CALLS = """
    DELETE FROM operations WHERE operations.id = ANY(ARRAY(
        SELECT o.id FROM operations AS o WHERE o.temporary AND o.created_at < :before
        ORDER BY o.created_at LIMIT :limit))
"""
_PRUNE = (
    text(_FORGET_HOLDS.format(found=_RETURNED)),
    text(_FORGET_HOLDS.format(found=_DETACHED)),
    text(_FORGET_CALLS),
)
# By account: index holds_account. Everybody's: holds_time. Open ones are few and may come by holds_due.
_LIST = (
    f"SELECT {_SELECTED} FROM holds WHERE (opened_at, holds.id) < (:opened_at, CAST(:id AS uuid))"  # noqa: S608
    "{conditions} ORDER BY opened_at DESC, holds.id DESC LIMIT :limit"
)
_ONE = text(f"SELECT {_SELECTED} FROM holds WHERE holds.id = CAST(:id AS uuid)")  # noqa: S608


async def read_holds(driver: asyncpg.Connection, ids: Iterable[str]) -> list[Hold]:
    """Those of `ids` that there are; the caller has locked their customers."""
    return [_hold(row) for row in await driver.fetch(_READ, list(ids))]


async def insert_holds(driver: asyncpg.Connection, holds: Sequence[Hold]) -> None:
    """Write new holds as the transaction leaves them."""
    if holds:
        await copy_rows(driver, "holds", _COLUMNS, [_row(hold) for hold in holds])


class PostgresHolds:
    """See domain.ports.HoldReader and HoldKeeper."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def due(self, cutoff: datetime, limit: int) -> tuple[str, ...]:
        """Open holds whose time was over by `cutoff`, the earliest first."""
        async with self._database.transaction() as connection:
            rows = await connection.execute(_DUE, {"cutoff": cutoff, "limit": limit})
            return tuple(row[0] for row in rows)

    async def newest(
        self, account: str | None, state: State | None, after: Position, limit: int
    ) -> list[Hold]:
        """Holds after a position of the list, newest first."""
        values = {"opened_at": after.started_at, "id": after.id, "limit": limit}
        conditions = ""
        if account is not None:
            conditions += " AND account = CAST(:account AS uuid)"
            values["account"] = account
        if state is not None:
            conditions += " AND state = :state"
            values["state"] = state
        statement = text(_LIST.format(conditions=conditions))
        async with self._database.transaction() as connection:
            return [_hold(tuple(row)) for row in await connection.execute(statement, values)]

    async def find(self, hold: str) -> Hold | None:
        """One hold by its id."""
        async with self._database.transaction() as connection:
            row = (await connection.execute(_ONE, {"id": hold})).first()
        return None if row is None else _hold(tuple(row))

    async def prune(self, before: datetime) -> None:
        """See the port; found by holds_returned, holds_time and operations_temporary."""
        async with self._database.transaction() as connection:
            archived = await connection.scalar(ARCHIVED_UNTIL)
        values = {"before": before, "detached": min(before, archived or BEGINNING)}
        for statement in _PRUNE:
            await self._database.delete(statement, values)


def _hold(row: Sequence[Any]) -> Hold:
    values = dict(zip(_COLUMNS, row, strict=True))
    for name in ("credits", "refunds"):
        values[name] = msgspec.json.decode(values[name], type=dict[str, int])
    return Hold(**values)


def _row(hold: Hold) -> tuple[object, ...]:
    return (
        hold.id, hold.account, hold.spender, hold.amount_nano, hold.opened_at, hold.expires_at, hold.purpose,
        hold.reference, hold.app, hold.paid_only, hold.state, hold.captured_nano, hold.released_nano,
        hold.refunded_nano, hold.free_nano, hold.refunded_free_nano, hold.credits_json, hold.refunds_json,
        hold.resolved_at,
    )  # fmt: skip
