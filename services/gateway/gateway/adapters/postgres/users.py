"""The table of people."""

from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.users import User

_ADD = text(
    "INSERT INTO users (id, account, email, role, group_name, password_hash, enabled)"
    " VALUES (:id, :account, :email, :role, :group, :password_hash, :enabled)"
    " ON CONFLICT (lower(email)) DO NOTHING"
)
_GET = text("SELECT * FROM users WHERE id = CAST(:id AS uuid)")
_LOCK = text("SELECT * FROM users WHERE id = CAST(:id AS uuid) FOR UPDATE")
_FIND_ACCOUNT = text("SELECT * FROM users WHERE account = CAST(:account AS uuid)")
_FIND = text("SELECT * FROM users WHERE lower(email) = lower(:email)")
_UPDATE = text(
    "UPDATE users SET role = :role, group_name = :group, password_hash = :password_hash, enabled = :enabled"
    " WHERE id = :id"
)
_LIST = text(
    "SELECT * FROM users WHERE CAST(:after AS uuid) IS NULL OR id > CAST(:after AS uuid)"
    " ORDER BY id LIMIT :limit"
)


class PostgresUsers:
    """See the Users port. Ids that are no UUIDs are refused before they come here."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, user: User) -> bool:
        """False when the address is taken."""
        return (await self._connection.execute(_ADD, _values(user))).rowcount == 1

    async def get(self, user: str) -> User | None:
        """By id."""
        return _one(await self._connection.execute(_GET, {"id": user}))

    async def find(self, email: str) -> User | None:
        """By address, any case."""
        return _one(await self._connection.execute(_FIND, {"email": email}))

    async def find_account(self, account: str) -> User | None:
        """By account."""
        return _one(await self._connection.execute(_FIND_ACCOUNT, {"account": account}))

    async def lock(self, user: str) -> User | None:
        """By id; the row stays locked until the transaction ends."""
        return _one(await self._connection.execute(_LOCK, {"id": user}))

    async def update(self, user: User) -> None:
        """All but id, account and address."""
        await self._connection.execute(_UPDATE, _values(user))

    async def list_page(self, after: str | None, limit: int) -> list[User]:
        """In the order of ids, which is the order they were made in."""
        rows = await self._connection.execute(_LIST, {"after": after, "limit": limit})
        return [_user(row) for row in rows]


def _values(user: User) -> dict[str, object]:
    return {
        "id": user.id,
        "account": user.account,
        "email": user.email,
        "role": user.role,
        "group": user.group,
        "password_hash": user.password_hash,
        "enabled": user.enabled,
    }


def _one(rows: Any) -> User | None:
    row = rows.one_or_none()
    return None if row is None else _user(row)


def _user(row: Row[Any]) -> User:
    return User(
        str(row.id),
        str(row.account),
        row.email,
        row.role,
        row.group_name,
        row.password_hash,
        row.enabled,
        row.created_at,
    )
