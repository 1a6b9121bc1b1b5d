"""PostgreSQL: one engine per service; use-cases open transactions, never across an upstream call."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy import TextClause, event, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

_PATIENCE_S = 10
_CLOSE_S = 2


class Database:
    """A pool of `pool_size` connections with these server settings; 10 s of waiting for one is an error."""

    def __init__(self, url: str, pool_size: int = 8, settings: Mapping[str, str] | None = None) -> None:
        own: dict[str, Any] = {"timeout": 5, "command_timeout": 60, "server_settings": dict(settings or {})}
        self.engine: AsyncEngine = create_async_engine(
            async_url(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=_PATIENCE_S,
            pool_recycle=1800,
            pool_pre_ping=True,  # the server may have been killed while a connection lay in the pool
            connect_args=own,
        )
        self._arguments = {**self.engine.dialect.create_connect_args(self.engine.url)[1], **own}
        self._drivers: asyncio.LifoQueue[asyncpg.Connection | None] = asyncio.LifoQueue()
        for _ in range(pool_size):
            self._drivers.put_nowait(None)
        event.listen(self.engine.sync_engine, "handle_error", _treat_broken_protocol_as_disconnect)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that commits when the block ends and rolls back when it raises."""
        async with self.engine.begin() as connection:
            yield connection

    @asynccontextmanager
    async def driver_transaction(self) -> AsyncIterator[asyncpg.Connection]:
        """As `transaction`, on asyncpg's own connection, where a statement costs a fraction: for hot paths.

        Raises asyncpg's own errors, which `is_transient` understands.
        """
        async with self.driver() as driver, driver.transaction():
            yield driver

    @asynccontextmanager
    async def driver(self) -> AsyncIterator[asyncpg.Connection]:
        """As `driver_transaction` without one: each statement commits itself, for where one is all.

        From a pool of its own, as large: to borrow one of SQLAlchemy's costs more than a small statement.
        """
        async with asyncio.timeout(_PATIENCE_S if self._drivers.empty() else None):
            driver = await self._drivers.get()
        try:
            if driver is None or driver.is_closed():  # the server was killed while it lay in the pool
                driver = await asyncpg.connect(**self._arguments)
            yield driver
        except BaseException as error:
            broken = isinstance(error, asyncpg.InternalClientError)
            if driver is not None and not driver.is_closed() and (broken or driver.is_in_transaction()):
                driver.terminate()
            raise
        finally:
            self._drivers.put_nowait(driver)

    async def delete(self, statement: TextClause, values: Mapping[str, object], limit: int = 5_000) -> None:
        """Run a DELETE of `:limit` rows until it finds fewer, so that no transaction is long."""
        found = limit
        while found >= limit:
            async with self.transaction() as connection:
                found = (await connection.execute(statement, {**values, "limit": limit})).rowcount

    async def ping(self) -> None:
        """Raise unless the server answers a query now."""
        async with self.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Close every connection that is not in use."""
        idle = [self._drivers.get_nowait() for _ in range(self._drivers.qsize())]
        closing = [driver.close(timeout=_CLOSE_S) for driver in idle if driver is not None]
        await asyncio.gather(*closing, return_exceptions=True)
        await self.engine.dispose()


def async_url(url: str) -> str:
    """A plain postgresql:// URL as SQLAlchemy's asyncpg URL."""
    return url.replace("postgresql://", "postgresql+asyncpg://", 1)


def is_transient(error: BaseException) -> bool:
    """Whether a database failure is worth the same work again: server gone, starting, or a deadlock.

    The outcome of a failed COMMIT is unknown, so only work that is idempotent by its ids may be repeated.
    """
    if isinstance(error, asyncpg.InterfaceError):
        return not isinstance(error, ValueError)  # those say that a value is not one of its column's type
    if isinstance(error, (OSError, TimeoutError, asyncpg.InternalClientError)):
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    original = error.orig if isinstance(error, DBAPIError) else error
    return (getattr(original, "sqlstate", None) or "")[:2] in {"08", "40", "53", "57"}


def _treat_broken_protocol_as_disconnect(context: ExceptionContext) -> None:
    # InternalClientError: killed between two protocol steps. Such a connection must not return to the pool.
    original = context.original_exception
    broken = (asyncpg.InternalClientError, ConnectionError)
    if isinstance(original, broken) or isinstance(original.__cause__, broken):
        context.is_disconnect = True
