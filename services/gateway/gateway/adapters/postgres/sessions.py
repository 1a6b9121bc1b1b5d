"""The tables of sessions and of failed sign-ins."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.sessions import FORGET, Session, wait_s

_ADD = text(
    "INSERT INTO sessions (id, user_id, digest, created_at, seen_at)"
    " VALUES (:id, :user, :digest, :created_at, :seen_at)"
)
_FIND = text(
    "SELECT id::text, user_id::text, digest, created_at, seen_at FROM sessions WHERE digest = :digest"
)
_SEEN = text("UPDATE sessions SET seen_at = :now WHERE digest = :digest AND seen_at < :now")
_REMOVE = text("DELETE FROM sessions WHERE digest = :digest")
_REMOVE_ALL = text("DELETE FROM sessions WHERE user_id = CAST(:user AS uuid)")
_PRUNE = text("DELETE FROM sessions WHERE seen_at < :before")
# Locked in the order of names, so that two sign-ins never wait for each other in a circle.
_LOCK_FAILURES = text(
    "INSERT INTO sign_in_failures (name, failures, last_at)"
    " SELECT name, 0, :now FROM unnest(CAST(:names AS bytea[])) AS name ORDER BY name"
    " ON CONFLICT (name) DO UPDATE SET failures = sign_in_failures.failures"
    " RETURNING name, failures, last_at"
)
_COUNT = text(
    "UPDATE sign_in_failures SET last_at = :now,"
    " failures = CASE WHEN last_at < :forgotten THEN 1 ELSE failures + 1 END"
    " WHERE name = ANY(CAST(:names AS bytea[]))"
)
_FORGIVE = text(
    "UPDATE sign_in_failures SET failures = CASE WHEN name = :whole THEN 0 ELSE greatest(0, failures - 1) END"
    " WHERE name = ANY(CAST(:names AS bytea[]))"
)
_PRUNE_FAILURES = text("DELETE FROM sign_in_failures WHERE last_at < :before")


class PostgresSessions:
    """See the Sessions port."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, session: Session) -> None:
        """Store it."""
        await self._connection.execute(
            _ADD,
            {
                "id": session.id,
                "user": session.user,
                "digest": session.digest,
                "created_at": session.created_at,
                "seen_at": session.seen_at,
            },
        )

    async def find(self, digest: bytes) -> Session | None:
        """By the digest of its token."""
        row = (await self._connection.execute(_FIND, {"digest": digest})).one_or_none()
        return None if row is None else Session(*row)

    async def seen(self, digest: bytes, now: datetime) -> None:
        """Note its use."""
        await self._connection.execute(_SEEN, {"digest": digest, "now": now})

    async def remove(self, digest: bytes) -> None:
        """End it."""
        await self._connection.execute(_REMOVE, {"digest": digest})

    async def remove_all(self, user: str) -> None:
        """End every session of a person."""
        await self._connection.execute(_REMOVE_ALL, {"user": user})

    async def prune(self, before: datetime) -> None:
        """Delete those last used before."""
        await self._connection.execute(_PRUNE, {"before": before})


class PostgresFailures:
    """See the Failures port."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def count(self, names: Mapping[bytes, int], now: datetime) -> int:
        """Count a failure under each name, or the seconds to wait, and then nothing is counted."""
        values = {"names": list(names), "now": now, "forgotten": now - FORGET}
        rows = await self._connection.execute(_LOCK_FAILURES, values)
        longest = 0.0
        for name, failures, last_at in rows.all():
            if now - last_at < FORGET:
                waited_s = (now - last_at).total_seconds()
                longest = max(longest, wait_s(failures, names[bytes(name)]) - waited_s)
        if longest > 0:
            return int(longest) + 1
        await self._connection.execute(_COUNT, values)
        return 0

    async def forgive(self, names: Mapping[bytes, int]) -> None:
        """See the Failures port."""
        await self._connection.execute(_FORGIVE, {"names": list(names), "whole": next(iter(names))})

    async def prune(self, before: datetime) -> None:
        """Delete what was last counted before."""
        await self._connection.execute(_PRUNE_FAILURES, {"before": before})
