"""The tables of people and grants."""

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from oauth.domain.grants import Grant, Person, RevokedBy, Spending

_PUT_PERSON = text(
    "INSERT INTO people (user_id, account, email, enabled) VALUES (:user, :account, :email, :enabled)"
    " ON CONFLICT (user_id) DO UPDATE SET account = EXCLUDED.account, email = EXCLUDED.email"
)
_ADD_PERSON = text(
    "INSERT INTO people (user_id, account) VALUES (:user, :account) ON CONFLICT (user_id) DO NOTHING"
)
_FOLLOW_PERSON = text(
    "INSERT INTO people AS p (user_id, account, email, enabled, identity_sequence)"
    " VALUES (:user, :account, :email, :enabled, :sequence)"
    " ON CONFLICT (user_id) DO UPDATE SET account = EXCLUDED.account, email = EXCLUDED.email,"
    " enabled = EXCLUDED.enabled, identity_sequence = EXCLUDED.identity_sequence"
    " WHERE p.identity_sequence <= EXCLUDED.identity_sequence"
)
_GET_PERSON = text("SELECT * FROM people WHERE user_id = CAST(:user AS uuid)")
_LOCK_PERSON = text("SELECT 1 FROM people WHERE user_id = CAST(:user AS uuid) FOR UPDATE")
_ADD = text(
    "INSERT INTO grants (id, app, user_id, scopes, limit_nano, period, timezone, max_charge_nano, expires_at,"
    " created_at, updated_at) VALUES (:id, :app, :user, :scopes, :limit_nano, :period, :timezone,"
    " :max_charge_nano, :expires_at, :created_at, :updated_at)"
)
_GET = text("SELECT * FROM grants WHERE id = CAST(:id AS uuid)")
_FIND_LIVE = text(
    "SELECT * FROM grants WHERE app = CAST(:app AS uuid) AND user_id = CAST(:user AS uuid)"
    " AND revoked_at IS NULL FOR UPDATE"
)
_UPDATE = text(
    "UPDATE grants SET scopes = :scopes, limit_nano = :limit_nano, period = :period, timezone = :timezone,"
    " max_charge_nano = :max_charge_nano, expires_at = :expires_at, updated_at = :updated_at"
    " WHERE id = CAST(:id AS uuid) AND revoked_at IS NULL"
)
_REVOKE = text(
    "UPDATE grants SET revoked_at = :now, revoked_by = :by"
    " WHERE id = CAST(:id AS uuid) AND revoked_at IS NULL"
)
_LIST = (
    "SELECT * FROM grants WHERE {column} = CAST(:of AS uuid)"
    " AND (NOT :live OR revoked_at IS NULL)"
    " AND (CAST(:after AS uuid) IS NULL OR id > CAST(:after AS uuid)) ORDER BY id LIMIT :limit"
)
_LIST_OF_USER = text(_LIST.format(column="user_id"))
_LIST_OF_APP = text(_LIST.format(column="app"))


class PostgresPeople:
    """See the People port."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def put(self, person: Person) -> None:
        """Keeps the event sequence, and who is disabled stays so: only the gateway's word changes that."""
        values = {"user": person.user, "account": person.account, "email": person.email}
        await self._connection.execute(_PUT_PERSON, values | {"enabled": person.enabled})

    async def get(self, user: str) -> Person | None:
        """By user id."""
        row = (await self._connection.execute(_GET_PERSON, {"user": user})).one_or_none()
        return None if row is None else person_of(row)

    async def hold(self, user: str, account: str) -> None:
        """One row, made and locked."""
        await self._connection.execute(_ADD_PERSON, {"user": user, "account": account})
        await self._connection.execute(_LOCK_PERSON, {"user": user})

    async def follow(self, person: Person, sequence: int) -> None:
        """What was asked after a later event stays, in whatever order the answers are stored."""
        values = msgspec.structs.asdict(person) | {"sequence": sequence}
        await self._connection.execute(_FOLLOW_PERSON, values)


class PostgresGrants:
    """See the Grants port. Ids that are no UUIDs are refused before they come here."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, grant: Grant) -> None:
        """The index grants_live refuses a second live one."""
        await self._connection.execute(_ADD, _values(grant))

    async def get(self, grant: str) -> Grant | None:
        """By id."""
        row = (await self._connection.execute(_GET, {"id": grant})).one_or_none()
        return None if row is None else grant_of(row)

    async def find_live(self, app: str, user: str) -> Grant | None:
        """Locks the person, then the grant."""
        await self._connection.execute(_LOCK_PERSON, {"user": user})
        row = (await self._connection.execute(_FIND_LIVE, {"app": app, "user": user})).one_or_none()
        return None if row is None else grant_of(row)

    async def update(self, grant: Grant) -> None:
        """Scopes and spending of a live grant."""
        await self._connection.execute(_UPDATE, _values(grant))

    async def revoke(self, grant: str, by: RevokedBy, now: datetime) -> bool:
        """False when it had ended."""
        result = await self._connection.execute(_REVOKE, {"id": grant, "by": by, "now": now})
        return result.rowcount == 1

    async def list_page(
        self, *, user: str | None, app: str | None, after: str | None, limit: int, live: bool
    ) -> list[Grant]:
        """Of a person (served by grants_user), else to an app (grants_app)."""
        statement, of = (_LIST_OF_USER, user) if user is not None else (_LIST_OF_APP, app)
        values = {"of": of, "after": after, "limit": limit, "live": live}
        return [grant_of(row) for row in await self._connection.execute(statement, values)]


def _values(grant: Grant) -> dict[str, object]:
    spending = grant.spending
    return {
        "id": grant.id,
        "app": grant.app,
        "user": grant.user,
        "scopes": list(grant.scopes),
        "limit_nano": spending.limit_nano,
        "period": spending.period,
        "timezone": spending.timezone,
        "max_charge_nano": spending.max_charge_nano,
        "expires_at": spending.expires_at,
        "created_at": grant.created_at,
        "updated_at": grant.updated_at,
    }


def person_of(row: Any) -> Person:
    """A person from their row."""
    return Person(str(row.user_id), str(row.account), row.email, row.enabled)


def grant_of(row: Any) -> Grant:
    """A grant from its row."""
    return Grant(
        id=str(row.id),
        app=str(row.app),
        user=str(row.user_id),
        scopes=tuple(row.scopes),
        spending=Spending(row.limit_nano, row.period, row.timezone, row.max_charge_nano, row.expires_at),
        created_at=row.created_at,
        updated_at=row.updated_at,
        revoked_at=row.revoked_at,
        revoked_by=row.revoked_by,
    )
