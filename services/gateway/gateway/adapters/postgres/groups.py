"""The table of groups."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.groups import Group

_PUT = text(
    "INSERT INTO groups (name, rate_micro) VALUES (:name, :rate_micro)"
    " ON CONFLICT (name) DO UPDATE SET rate_micro = excluded.rate_micro"
    " WHERE groups.rate_micro <> excluded.rate_micro"
)
_GET = text("SELECT name, rate_micro FROM groups WHERE name = :name")
_LIST = text("SELECT name, rate_micro FROM groups ORDER BY name")


class PostgresGroups:
    """See the Groups port."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def put(self, group: Group) -> bool:
        """True when a row was written."""
        values = {"name": group.name, "rate_micro": group.rate_micro}
        return (await self._connection.execute(_PUT, values)).rowcount > 0

    async def get(self, name: str) -> Group | None:
        """By name."""
        row = (await self._connection.execute(_GET, {"name": name})).one_or_none()
        return None if row is None else Group(row.name, row.rate_micro)

    async def list_all(self) -> list[Group]:
        """All, by name; groups are few."""
        return [Group(row.name, row.rate_micro) for row in await self._connection.execute(_LIST)]
