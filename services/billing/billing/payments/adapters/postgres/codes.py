"""Redemption codes in PostgreSQL: a code is won by one conditional statement."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text

from billing.payments.domain.codes import Batch, Claim, Code, Found
from common.kit.db import Database

_BATCH_COLUMNS = (
    "b.id::text, b.name, b.amount_nano, b.size, b.created_at, b.expires_at, b.revoked_at,"
    " (SELECT count(*) FROM codes AS c WHERE c.batch = b.id AND c.redemption IS NOT NULL), b.position"
)
_SELECT_BATCH = f"SELECT {_BATCH_COLUMNS} FROM code_batches AS b"  # noqa: S608  our own words
_INSERT_BATCH = text(
    "INSERT INTO code_batches (id, name, amount_nano, size, expires_at, created_at)"
    " VALUES (:id, :name, :amount_nano, :size, :expires_at, :created_at)"
)
_INSERT_CODES = text(
    "INSERT INTO codes (hash, batch, prefix) SELECT u.hash, CAST(:batch AS uuid), u.prefix"
    " FROM unnest(CAST(:hashes AS bytea[]), CAST(:prefixes AS text[])) AS u (hash, prefix)"
)
_FIND_BATCH = text(_SELECT_BATCH + " WHERE id = CAST(:id AS uuid)")
_LIST_BATCHES = text(_SELECT_BATCH + " WHERE position < :before ORDER BY position DESC LIMIT :limit")
_LIST_CODES = text(
    "SELECT prefix, batch::text, account::text, redemption::text, redeemed_at, position FROM codes"
    " WHERE batch = CAST(:batch AS uuid) AND position > :after ORDER BY position LIMIT :limit"
)
_REVOKE = text("UPDATE code_batches SET revoked_at = coalesce(revoked_at, :now) WHERE id = CAST(:id AS uuid)")
# The batch is locked in share mode: a revocation waits for claims under way and none follows it.
_CLAIM = text("""
    WITH good AS (
        SELECT id, amount_nano FROM code_batches
        WHERE id = (SELECT batch FROM codes WHERE hash = :hash)
            AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > :now)
        FOR SHARE
    )
    UPDATE codes SET account = :account, redemption = :redemption, redeemed_at = :now
    FROM good WHERE codes.hash = :hash AND codes.batch = good.id AND codes.redemption IS NULL
    RETURNING codes.hash, codes.account::text, codes.redemption::text, good.amount_nano, codes.batch::text
""")
_LOOK = text(
    "SELECT c.hash, c.account::text, c.redemption::text, b.amount_nano, c.batch::text,"
    " b.revoked_at IS NOT NULL OR coalesce(b.expires_at <= :now, false)"
    " FROM codes AS c JOIN code_batches AS b ON b.id = c.batch WHERE c.hash = :hash"
)
_CREDITED = text("UPDATE codes SET credited = true WHERE hash = :hash")
_UNCREDITED = text(
    "SELECT c.hash, c.account::text, c.redemption::text, b.amount_nano, c.batch::text"
    " FROM codes AS c JOIN code_batches AS b ON b.id = c.batch"
    " WHERE c.redemption IS NOT NULL AND NOT c.credited AND c.redeemed_at < :before"
    " ORDER BY c.redeemed_at LIMIT :limit"
)
_FAILURES = text(
    "SELECT failures, window_start FROM code_guesses"
    " WHERE account = CAST(:account AS uuid) AND window_start > :since"
)
_COUNT_FAILURE = text(
    "INSERT INTO code_guesses AS g (account, window_start, failures) VALUES (:account, :now, 1)"
    " ON CONFLICT (account) DO UPDATE SET"
    " failures = CASE WHEN g.window_start > :since THEN g.failures + 1 ELSE 1 END,"
    " window_start = CASE WHEN g.window_start > :since THEN g.window_start ELSE :now END"
)


class PostgresCodes:
    """See domain.ports.CodeStore. Lists are served by codes_batch and the batches' primary key."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, batch: Batch, hashes: Sequence[bytes], prefixes: Sequence[str]) -> None:
        """See CodeStore."""
        values = {
            name: getattr(batch, name)
            for name in ("id", "name", "amount_nano", "size", "expires_at", "created_at")
        }
        async with self._database.transaction() as connection:
            await connection.execute(_INSERT_BATCH, values)
            rows = {"batch": batch.id, "hashes": list(hashes), "prefixes": list(prefixes)}
            await connection.execute(_INSERT_CODES, rows)

    async def find_batch(self, batch: str) -> Batch | None:
        """See CodeStore."""
        async with self._database.transaction() as connection:
            row = (await connection.execute(_FIND_BATCH, {"id": batch})).first()
            return None if row is None else _batch(row)

    async def list_batches(self, before: int, limit: int) -> list[Batch]:
        """See CodeStore."""
        async with self._database.transaction() as connection:
            rows = await connection.execute(_LIST_BATCHES, {"before": before, "limit": limit})
            return [_batch(row) for row in rows]

    async def list_codes(self, batch: str, after: int, limit: int) -> list[Code]:
        """See CodeStore."""
        values = {"batch": batch, "after": after, "limit": limit}
        async with self._database.transaction() as connection:
            return [_code(row) for row in await connection.execute(_LIST_CODES, values)]

    async def revoke(self, batch: str, now: datetime) -> bool:
        """See CodeStore."""
        async with self._database.transaction() as connection:
            return bool((await connection.execute(_REVOKE, {"id": batch, "now": now})).rowcount)

    async def claim(self, hash_: bytes, account: str, redemption: str, now: datetime) -> Claim | None:
        """See CodeStore."""
        values = {"hash": hash_, "account": account, "redemption": redemption, "now": now}
        async with self._database.transaction() as connection:
            row = (await connection.execute(_CLAIM, values)).first()
            return None if row is None else _claim(row)

    async def look(self, hash_: bytes, now: datetime) -> tuple[Claim | None, Found | None]:
        """See CodeStore."""
        async with self._database.transaction() as connection:
            row = (await connection.execute(_LOOK, {"hash": hash_, "now": now})).first()
        if row is None:
            return None, None
        won = None if row[2] is None else _claim(row[:5])
        return won, Found(row[2], row[5])

    async def credited(self, hash_: bytes) -> None:
        """See CodeStore."""
        async with self._database.transaction() as connection:
            await connection.execute(_CREDITED, {"hash": hash_})

    async def uncredited(self, before: datetime, limit: int) -> list[Claim]:
        """See CodeStore."""
        async with self._database.transaction() as connection:
            rows = await connection.execute(_UNCREDITED, {"before": before, "limit": limit})
            return [_claim(row) for row in rows]

    async def failures(self, account: str, since: datetime) -> tuple[int, datetime | None]:
        """See CodeStore."""
        async with self._database.transaction() as connection:
            row = (await connection.execute(_FAILURES, {"account": account, "since": since})).first()
            return (0, None) if row is None else (row[0], row[1])

    async def count_failure(self, account: str, now: datetime, since: datetime) -> None:
        """See CodeStore."""
        values = {"account": account, "now": now, "since": since}
        async with self._database.transaction() as connection:
            await connection.execute(_COUNT_FAILURE, values)


def _batch(row: Any) -> Batch:
    return Batch(*row)


def _claim(row: Any) -> Claim:
    return Claim(*row)


def _code(row: Any) -> Code:
    return Code(*row)
