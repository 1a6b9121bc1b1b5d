"""The table of signing keys."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from common.kit.db import Database
from oauth.adapters.postgres.store import as_unavailable
from oauth.identity.domain.keys import SigningKey

# It conflicts with itself and with writes, not with reads: those who sign do not wait.
_LOCK = text("LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE")
_LIST = text("SELECT * FROM signing_keys ORDER BY active_at")
_ADD = text(
    "INSERT INTO signing_keys (kid, public_jwk, sealed, created_at, active_at, expires_at)"
    " VALUES (:kid, :public_jwk, :sealed, :created_at, :active_at, :expires_at)"
)
_EXPIRE = text("UPDATE signing_keys SET expires_at = :at WHERE kid = :kid")
_REMOVE = text("DELETE FROM signing_keys WHERE expires_at <= :now")


class PostgresKeyTransaction:
    """See the KeyTransaction port."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def list_all(self) -> list[SigningKey]:
        """A handful."""
        return [_key(row) for row in await self._connection.execute(_LIST)]

    async def add(self, key: SigningKey) -> None:
        """Store a new one."""
        await self._connection.execute(_ADD, msgspec.structs.asdict(key))

    async def expire(self, kid: str, at: datetime) -> None:
        """Set until when it is published."""
        await self._connection.execute(_EXPIRE, {"kid": kid, "at": at})

    async def remove_expired(self, now: datetime) -> None:
        """Private keys included."""
        await self._connection.execute(_REMOVE, {"now": now})


class PostgresKeys:
    """See the KeyStore port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[PostgresKeyTransaction]:
        """Holds the table against other writers until it ends."""
        try:
            async with self._database.transaction() as connection:
                await connection.execute(_LOCK)
                yield PostgresKeyTransaction(connection)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            raise as_unavailable(error) from error

    async def list_all(self) -> list[SigningKey]:
        """One query."""
        try:
            async with self._database.transaction() as connection:
                return await PostgresKeyTransaction(connection).list_all()
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            raise as_unavailable(error) from error


def _key(row: Any) -> SigningKey:
    return SigningKey(
        row.kid, row.public_jwk, bytes(row.sealed), row.created_at, row.active_at, row.expires_at
    )
