"""The table of authorization requests that wait."""

from datetime import datetime
from typing import Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

Kind = Literal["pushed", "consent"]

_ADD = text(
    "INSERT INTO authorization_requests (digest, kind, app, session, parameters, expires_at)"
    " VALUES (:digest, :kind, :app, :session, :parameters, :expires_at)"
)
_LOOK = text(
    "SELECT parameters FROM authorization_requests"
    " WHERE digest = :digest AND kind = :kind AND expires_at > :now"
)
_BIND = text(
    "UPDATE authorization_requests SET session = CAST(:session AS uuid)"
    " WHERE digest = :digest AND kind = :kind AND expires_at > :now RETURNING parameters"
)
_TAKE = text(
    "DELETE FROM authorization_requests WHERE digest = :digest AND kind = :kind AND expires_at > :now"
    " AND session IS NOT DISTINCT FROM CAST(:session AS uuid) RETURNING parameters"
)


class PostgresRequests:
    """See the Requests port."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(
        self,
        kind: Kind,
        digest: bytes,
        app: str,
        parameters: str,
        expires_at: datetime,
        session: str | None = None,
    ) -> None:
        """Store one."""
        values = {"kind": kind, "digest": digest, "app": app, "parameters": parameters}
        await self._connection.execute(_ADD, values | {"expires_at": expires_at, "session": session})

    async def look(self, kind: Kind, digest: bytes, now: datetime) -> str | None:
        """It stays."""
        values = {"kind": kind, "digest": digest, "now": now}
        found: str | None = (await self._connection.execute(_LOOK, values)).scalar_one_or_none()
        return found

    async def bind(self, kind: Kind, digest: bytes, now: datetime, session: str) -> str | None:
        """The last session wins."""
        values = {"kind": kind, "digest": digest, "now": now, "session": session}
        found: str | None = (await self._connection.execute(_BIND, values)).scalar_one_or_none()
        return found

    async def take(self, kind: Kind, digest: bytes, now: datetime, session: str | None = None) -> str | None:
        """One statement, so that of many at once one gets it."""
        values = {"kind": kind, "digest": digest, "now": now, "session": session}
        found: str | None = (await self._connection.execute(_TAKE, values)).scalar_one_or_none()
        return found
