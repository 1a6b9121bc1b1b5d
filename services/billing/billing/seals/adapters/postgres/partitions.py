"""Monthly tables in PostgreSQL: made ahead, detached when their time is over.

Detaching CONCURRENTLY is not possible beside a default partition. A plain detach takes the strongest lock for
a moment, so it is only waited for as long as traffic may be held up, and tried again.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import date, datetime

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.adapters.postgres.archives import ARCHIVED_UNTIL
from billing.seals.domain.partitions import PARENTS, Partition, end_of
from common.contracts.errors import UnavailableError
from common.kit.db import Database

LOCK_MS = 100
"""The longest that traffic waits behind a change of tables."""
TRIES = 20
_PAUSE_S = 0.25
_LOCK_NOT_AVAILABLE = "55P03"
_MONTHLY = re.compile(r"_([0-9]{4})_([0-9]{2})$")

Work = Callable[[AsyncConnection], Awaitable[None]]

_LIST = text("""
    SELECT c.relname AS name, p.relname AS parent, true AS attached, pg_total_relation_size(c.oid) AS bytes,
        CAST(NULL AS timestamptz) AS detached_at
    FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid JOIN pg_class AS p ON p.oid = i.inhparent
    WHERE p.relkind = 'p' AND p.relnamespace = current_schema()::regnamespace
    UNION ALL
    SELECT name, parent, false, coalesce(pg_total_relation_size(to_regclass(name)), 0), detached_at
    FROM archives
    ORDER BY name
""")
_NEWEST = "SELECT position, posted_at FROM {name} ORDER BY position DESC LIMIT 1"
_REMEMBER = text(
    "INSERT INTO archives (name, parent, month, last_position, detached_at)"
    " VALUES (:name, :parent, :month, :last_position, :now)"
)


async def with_brief_lock(database: Database, work: Work) -> None:
    """Do `work` in a transaction that waits at most LOCK_MS for a lock, until it gets it.

    UnavailableError after TRIES: somebody holds the table for long.
    """
    for _ in range(TRIES):
        try:
            async with database.transaction() as connection:
                await connection.execute(text(f"SET LOCAL lock_timeout = {LOCK_MS}"))
                await work(connection)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                raise
            await asyncio.sleep(_PAUSE_S)
        else:
            return
    raise UnavailableError("The table is in use.", retry_after_s=1)


class PostgresPartitions:
    """See seals.domain.ports.PartitionStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_(self) -> list[Partition]:
        """See the port."""
        async with self._database.transaction() as connection:
            rows = (await connection.execute(_LIST)).all()
        return [
            Partition(row.name, row.parent, _month(row.name), row.attached, row.bytes, row.detached_at)
            for row in rows
        ]

    async def create(self, months: int, now: datetime) -> None:
        """See the port; partitions that are there cost nothing."""

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(
                text("SELECT create_partitions(:months, :now)"), {"months": months, "now": now}
            )

        await with_brief_lock(self._database, work)

    async def detach(self, partition: Partition, now: datetime) -> bool:
        """See the port. Usage stays until everything charged for it lies in detached months of transfers."""
        name, month = partition.name, partition.month
        if month is None:
            return False
        detached = False

        async def work(connection: AsyncConnection) -> None:
            nonlocal detached
            newest = (await connection.execute(text(_NEWEST.format(name=name)))).first()
            if partition.parent != PARENTS[0]:
                until = await connection.scalar(ARCHIVED_UNTIL)
                if until is None or until < end_of(month) or (newest and newest.posted_at >= until):
                    return
            await connection.execute(text(f"ALTER TABLE {partition.parent} DETACH PARTITION {name}"))
            values = {"name": name, "parent": partition.parent, "month": month, "now": now}
            position = 0 if newest is None else newest.position
            await connection.execute(_REMEMBER, values | {"last_position": position})
            detached = True

        try:
            await with_brief_lock(self._database, work)
        except UnavailableError:
            return False
        return detached

    async def stray_rows(self) -> Mapping[str, int]:
        """See the port."""
        defaults = [row for row in await self.list_() if row.attached and row.month is None]
        found = {}
        async with self._database.transaction() as connection:
            for row in defaults:
                count = text(f"SELECT count(*) FROM (SELECT FROM {row.name} LIMIT 1000) AS t")  # noqa: S608
                found[row.parent] = int(await connection.scalar(count) or 0)
        return {parent: count for parent, count in found.items() if count}


def _month(name: str) -> date | None:
    """The month in a name that ends in `_YYYY_MM`, None for another, such as the default partition's."""
    found = _MONTHLY.search(name)
    return None if found is None else date(int(found.group(1)), int(found.group(2)), 1)
