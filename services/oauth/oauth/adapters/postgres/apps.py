"""The table of apps."""

from collections.abc import Collection, Sequence
from typing import Any

import asyncpg
import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from oauth.adapters.postgres.records import Fields
from oauth.domain.apps import App

_ADD = text(
    "INSERT INTO apps (id, client_id, owner, owner_account, name, description, homepage, auth_method,"
    " secrets, jwks, redirect_uris, scopes, fee_micro, require_par, require_dpop, created_at,"
    " updated_at, disabled_at, disabled_by)"
    " VALUES (:id, :client_id, :owner, :owner_account, :name, :description, :homepage, :auth_method,"
    " :secrets, :jwks, :redirect_uris, :scopes, :fee_micro, :require_par, :require_dpop, :created_at,"
    " :updated_at, :disabled_at, :disabled_by) ON CONFLICT (client_id) DO NOTHING"
)
_GET = text("SELECT * FROM apps WHERE id = CAST(:id AS uuid)")
_FIND = text("SELECT * FROM apps WHERE client_id = :client_id")
_FIND_VERSIONS = "SELECT client_id, id::text, xmin FROM apps WHERE client_id = ANY($1::text[])"
_READ_VERSIONS = "SELECT xmin, * FROM apps WHERE id = ANY($1::uuid[])"
_GET_MANY = text("SELECT * FROM apps WHERE id = ANY(CAST(:ids AS uuid[]))")
_LOCK = text("SELECT * FROM apps WHERE client_id = :client_id FOR UPDATE")
_COUNT = text("SELECT count(*) FROM apps WHERE owner = CAST(:owner AS uuid) AND disabled_at IS NULL")
_UPDATE = text(
    "UPDATE apps SET owner = :owner, owner_account = :owner_account, name = :name,"
    " description = :description, homepage = :homepage, auth_method = :auth_method,"
    " secrets = :secrets, jwks = :jwks,"
    " redirect_uris = :redirect_uris, scopes = :scopes, fee_micro = :fee_micro, require_par = :require_par,"
    " require_dpop = :require_dpop, updated_at = :updated_at, disabled_at = :disabled_at,"
    " disabled_by = :disabled_by WHERE id = :id"
)
_WITHDRAW = text(
    "UPDATE apps SET scopes = array_remove(scopes, CAST(:scope AS text))"
    " WHERE CAST(:scope AS text) = ANY(scopes)"
)
_MOST_KNOWN = 1000
_FIRST = "00000000-0000-0000-0000-000000000000"
_LIST = text("SELECT * FROM apps WHERE id > CAST(:after AS uuid) ORDER BY id LIMIT :limit")
_LIST_OWNED = text(
    "SELECT * FROM apps WHERE owner = CAST(:owner AS uuid) AND id > CAST(:after AS uuid)"
    " ORDER BY id LIMIT :limit"
)


class PostgresApps:
    """See the Apps port. Ids that are no UUIDs are refused before they come here."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, app: App) -> bool:
        """False when the client id is taken."""
        return (await self._connection.execute(_ADD, _values(app))).rowcount == 1

    async def get(self, app: str) -> App | None:
        """By id."""
        row = (await self._connection.execute(_GET, {"id": app})).one_or_none()
        return None if row is None else app_of(row)

    async def find(self, client_id: str) -> App | None:
        """By client id."""
        row = (await self._connection.execute(_FIND, {"client_id": client_id})).one_or_none()
        return None if row is None else app_of(row)

    async def get_many(self, apps: Collection[str]) -> dict[str, App]:
        """By primary key."""
        rows = await self._connection.execute(_GET_MANY, {"ids": list(apps)})
        return {app.id: app for app in map(app_of, rows)}

    async def lock(self, client_id: str) -> App | None:
        """By client id; two changes at once come one after the other."""
        row = (await self._connection.execute(_LOCK, {"client_id": client_id})).one_or_none()
        return None if row is None else app_of(row)

    async def count(self, owner: str) -> int:
        """Those not disabled; served by apps_owner."""
        return int((await self._connection.execute(_COUNT, {"owner": owner})).scalar_one())

    async def update(self, app: App) -> None:
        """Everything that may change."""
        await self._connection.execute(_UPDATE, _values(app))

    async def withdraw(self, scope: str) -> int:
        """One pass over all apps; for the start of a process."""
        return (await self._connection.execute(_WITHDRAW, {"scope": scope})).rowcount

    async def list_page(self, owner: str | None, after: str | None, limit: int) -> list[App]:
        """In the order of ids, which is the order they were made in; served by apps_owner, or the key."""
        values: dict[str, object] = {"after": after or _FIRST, "limit": limit}
        statement = _LIST
        if owner is not None:
            statement, values = _LIST_OWNED, values | {"owner": owner}
        return [app_of(row) for row in await self._connection.execute(statement, values)]


class KnownApps:
    """Apps as they were read last, by id and row version (`xmin`): what did not change is not read again."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, App]] = {}

    async def at(self, driver: asyncpg.Connection, versions: Collection[tuple[str, int]]) -> dict[str, App]:
        """The apps, each as it was at its version or later, but for those deleted since."""
        unknown = [id_ for id_, version in versions if self._known.get(id_, (None,))[0] != version]
        if len(self._known) > _MOST_KNOWN:
            self._known.clear()
            unknown = [id_ for id_, _ in versions]
        if unknown:
            for row in await driver.fetch(_READ_VERSIONS, unknown):
                self._known[str(row["id"])] = (row["xmin"], app_of(Fields(row)))
        return {id_: self._known[id_][1] for id_, _ in versions if id_ in self._known}


async def find_apps(
    driver: asyncpg.Connection, apps: KnownApps, client_ids: Sequence[str]
) -> list[App | None]:
    """By client ids, in their order; for every request that an app authenticates."""
    rows = await driver.fetch(_FIND_VERSIONS, list(set(client_ids)))
    known = await apps.at(driver, {(row[1], row[2]) for row in rows})
    found = {row[0]: known.get(row[1]) for row in rows}
    return [found.get(client_id) for client_id in client_ids]


def _values(app: App) -> dict[str, object]:
    values = msgspec.structs.asdict(app)
    return values | {name: list(values[name]) for name in ("secrets", "redirect_uris", "scopes")}


def app_of(row: Any) -> App:
    """An app from its row."""
    return App(
        id=str(row.id),
        client_id=row.client_id,
        owner=None if row.owner is None else str(row.owner),
        owner_account=None if row.owner_account is None else str(row.owner_account),
        name=row.name,
        description=row.description,
        homepage=row.homepage,
        auth_method=row.auth_method,
        secrets=tuple(bytes(secret) for secret in row.secrets),
        jwks=row.jwks,
        redirect_uris=tuple(row.redirect_uris),
        scopes=tuple(row.scopes),
        fee_micro=row.fee_micro,
        require_par=row.require_par,
        require_dpop=row.require_dpop,
        created_at=row.created_at,
        updated_at=row.updated_at,
        disabled_at=row.disabled_at,
        disabled_by=row.disabled_by,
    )
