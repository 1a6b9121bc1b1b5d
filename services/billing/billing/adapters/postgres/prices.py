"""The price book in PostgreSQL: every version of every price and multiplier stays.

In force is, of the prices whose time has come, what a person said before what the seed said, and of those
the one with the latest time, then the latest version.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.domain.ports import Clock
from billing.domain.prices import prune_upcoming
from common.contracts.prices import Multiplier, Price, PriceBook, Tier
from common.kit.db import Database

_LOCK_ID = 0x70726963  # "pric": versions are given one writer at a time
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMNS = "model, unit_pico, version, context_window, max_output, source, tiers, effective_from"
_IN_FORCE = text(
    f"SELECT DISTINCT ON (model) {_COLUMNS} FROM prices WHERE effective_from <= :now"  # noqa: S608
    " ORDER BY model, (source LIKE 'genai-prices %'), effective_from DESC, version DESC"
)
_UPCOMING = text(f"SELECT {_COLUMNS} FROM prices WHERE effective_from > :now")  # noqa: S608
_MULTIPLIERS = text("SELECT DISTINCT ON (name) body, version FROM multipliers ORDER BY name, version DESC")
_VERSION = text(
    "SELECT greatest((SELECT max(version) FROM prices), (SELECT max(version) FROM multipliers), 0)"
)
_VERSIONS = text(
    f"SELECT {_COLUMNS} FROM prices WHERE model = :model AND version < :before"  # noqa: S608
    " ORDER BY version DESC LIMIT :limit"
)
_INSERT = text(
    f"INSERT INTO prices ({_COLUMNS})"  # noqa: S608
    " SELECT u.model, u.unit_pico, u.version, u.context_window, u.max_output, u.source, u.tiers,"
    " u.effective_from"
    " FROM unnest(CAST(:models AS text[]), CAST(CAST(:unit_pico AS text[]) AS jsonb[]),"
    " CAST(:versions AS int[]), CAST(:windows AS int[]), CAST(:outputs AS int[]), CAST(:sources AS text[]),"
    " CAST(CAST(:tiers AS text[]) AS jsonb[]), CAST(:effective AS timestamptz[]))"
    " AS u (model, unit_pico, version, context_window, max_output, source, tiers, effective_from)"
)
_INSERT_MULTIPLIER = text(
    "INSERT INTO multipliers (name, version, body, changed_at)"
    " VALUES (:name, :version, CAST(:body AS jsonb), :now)"
)


class PostgresPrices:
    """See domain.ports.PriceStore."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["PostgresPriceSession"]:
        """A transaction in which nobody else gives versions."""
        async with self._database.transaction() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": _LOCK_ID})
            yield PostgresPriceSession(connection, self._clock())

    async def current(self) -> PriceBook:
        """See domain.ports.PriceStore; one snapshot, so that no change falls between two reads."""
        async with self._database.transaction() as connection:
            await connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
            return await _current(connection, self._clock())

    async def versions(self, model: str, before: int, limit: int) -> list[Price]:
        """See domain.ports.PriceStore; served by the primary key."""
        query = {"model": model, "before": before, "limit": limit}
        async with self._database.transaction() as connection:
            return [_price(row) for row in await connection.execute(_VERSIONS, query)]

    async def has_source(self, source: str) -> bool:
        """Whether any price, in force or not, came from `source`."""
        async with self._database.transaction() as connection:
            query = text("SELECT EXISTS (SELECT FROM prices WHERE source = :source)")
            return bool(await connection.scalar(query, {"source": source}))


class PostgresPriceSession:
    """See domain.ports.PriceSession."""

    def __init__(self, connection: AsyncConnection, now: datetime) -> None:
        self._connection = connection
        self._now = now
        self.now_ms = (now - _EPOCH) // timedelta(milliseconds=1)

    async def current(self) -> PriceBook:
        """As PostgresPrices.current, in this transaction."""
        return await _current(self._connection, self._now)

    async def put(self, prices: Sequence[Price]) -> None:
        """Add the prices, each as the version it carries."""
        encode = msgspec.json.Encoder().encode
        await self._connection.execute(
            _INSERT,
            {
                "models": [price.model for price in prices],
                "unit_pico": [encode(price.unit_pico).decode() for price in prices],
                "versions": [price.version for price in prices],
                "windows": [price.context_window for price in prices],
                "outputs": [price.max_output for price in prices],
                "sources": [price.source for price in prices],
                "tiers": [encode(price.tiers).decode() for price in prices],
                "effective": [_EPOCH + timedelta(milliseconds=price.effective_from_ms) for price in prices],
            },
        )

    async def put_multiplier(self, name: str, multiplier: Multiplier | None, version: int) -> None:
        """Add what the name stands for from now on; None for nothing."""
        body = None if multiplier is None else msgspec.json.encode(multiplier).decode()
        values = {"name": name, "version": version, "body": body, "now": self._now}
        await self._connection.execute(_INSERT_MULTIPLIER, values)


async def _current(connection: AsyncConnection, now: datetime) -> PriceBook:
    values = {"now": now}
    prices = tuple(_price(row) for row in await connection.execute(_IN_FORCE, values))
    upcoming = [_price(row) for row in await connection.execute(_UPCOMING, values)]
    multipliers = tuple(
        msgspec.structs.replace(msgspec.convert(body, Multiplier), version=version)
        for body, version in await connection.execute(_MULTIPLIERS)
        if body is not None
    )
    version: int = await connection.scalar(_VERSION) or 0
    return PriceBook(version, prices, prune_upcoming(prices, upcoming), multipliers)


def _price(row: Any) -> Price:
    model, unit_pico, version, window, output, source, tiers, effective_from = row
    effective_ms = (effective_from - _EPOCH) // timedelta(milliseconds=1)
    kept = tuple(Tier(**tier) for tier in tiers)
    return Price(model, unit_pico, version, window, output, source, kept, effective_ms)
