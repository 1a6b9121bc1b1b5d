"""Plans in PostgreSQL: each change is a version, and the newest is in force."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from common.contracts.bootstrap import PlanSpec
from common.contracts.plans import PlanBook
from common.kit.db import Database

_CURRENT = text("SELECT version, plans FROM plans ORDER BY version DESC LIMIT 1")
_VERSION = text("SELECT version, reviewed FROM plans ORDER BY version DESC LIMIT 1")
_LOCK = text("LOCK TABLE plans IN SHARE ROW EXCLUSIVE MODE")
_PUT = text("INSERT INTO plans (version, plans, source) VALUES (:version, CAST(:plans AS jsonb), :source)")
_REVIEWED = text("UPDATE plans SET reviewed = true WHERE version = :version")


class PostgresPlans:
    """See memberships.domain.ports.PlanStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def current(self) -> PlanBook:
        """The plans in force; version 0 without any before the first are put."""
        async with self._database.transaction() as connection:
            return await _current(connection)

    async def put(self, plans: Sequence[PlanSpec], source: str) -> PlanBook:
        """Put them in force in place of all others; the same plans again are no new version."""
        async with self._database.transaction() as connection:
            await connection.execute(_LOCK)
            current = await _current(connection)
            if current.plans == tuple(plans):
                return current
            book = PlanBook(current.version + 1, tuple(plans))
            data = msgspec.json.encode(book.plans).decode()
            await connection.execute(_PUT, {"version": book.version, "plans": data, "source": source})
            return book

    async def version(self) -> tuple[int, bool]:
        """The version in force, and whether every membership was reviewed under it."""
        async with self._database.transaction() as connection:
            row = (await connection.execute(_VERSION)).first()
        return (0, True) if row is None else (row.version, row.reviewed)

    async def mark_reviewed(self, version: int) -> None:
        """Every membership was reviewed under this version."""
        async with self._database.transaction() as connection:
            await connection.execute(_REVIEWED, {"version": version})


async def _current(connection: AsyncConnection) -> PlanBook:
    row = (await connection.execute(_CURRENT)).first()
    if row is None:
        return PlanBook()
    return PlanBook(row.version, msgspec.convert(row.plans, tuple[PlanSpec, ...]))
