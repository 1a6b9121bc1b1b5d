"""Prices in PostgreSQL: every version stays, the newest of each model is in force."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from common.contracts.prices import Price, PriceBook
from common.kit.db import Database

_LOCK_ID = 0x70726963  # "pric": versions are given one writer at a time
_CURRENT = text(
    "SELECT DISTINCT ON (model) model, unit_pico, version, context_window, max_output, source FROM prices"
    " ORDER BY model, version DESC"
)
_INSERT = text(
    "INSERT INTO prices (model, version, unit_pico, context_window, max_output, source)"
    " SELECT u.model, :version, u.unit_pico, u.context_window, u.max_output, u.source"
    " FROM unnest(CAST(:models AS text[]), CAST(CAST(:unit_pico AS text[]) AS jsonb[]),"
    " CAST(:windows AS int[]), CAST(:outputs AS int[]), CAST(:sources AS text[]))"
    " AS u (model, unit_pico, context_window, max_output, source)"
)


class PostgresPrices:
    """See domain.ports.PriceStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["PostgresPriceSession"]:
        """A transaction in which nobody else gives versions."""
        async with self._database.transaction() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": _LOCK_ID})
            yield PostgresPriceSession(connection)

    async def current(self) -> PriceBook:
        """The prices in force, by model name; the book's version is the newest of theirs."""
        async with self._database.transaction() as connection:
            return await _current(connection)

    async def has_source(self, source: str) -> bool:
        """Whether any price, in force or not, came from `source`."""
        async with self._database.transaction() as connection:
            query = text("SELECT EXISTS (SELECT FROM prices WHERE source = :source)")
            return bool(await connection.scalar(query, {"source": source}))


class PostgresPriceSession:
    """See domain.ports.PriceSession."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def current(self) -> PriceBook:
        """As PostgresPrices.current, in this transaction."""
        return await _current(self._connection)

    async def put(self, prices: Sequence[Price], version: int) -> None:
        """Add the prices as `version`."""
        encode = msgspec.json.Encoder().encode
        await self._connection.execute(
            _INSERT,
            {
                "version": version,
                "models": [price.model for price in prices],
                "unit_pico": [encode(price.unit_pico).decode() for price in prices],
                "windows": [price.context_window for price in prices],
                "outputs": [price.max_output for price in prices],
                "sources": [price.source for price in prices],
            },
        )


async def _current(connection: AsyncConnection) -> PriceBook:
    prices = tuple(Price(*row) for row in await connection.execute(_CURRENT))
    return PriceBook(max((price.version for price in prices), default=0), prices)
