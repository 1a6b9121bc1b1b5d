"""The table of API keys, and the one query that authentication asks."""

from typing import Any

import msgspec
from sqlalchemy import Row, TextClause, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from common.kit.db import Database
from gateway.adapters.postgres.failures import as_unavailable
from gateway.domain.groups import DEFAULT
from gateway.domain.keys import Key, KeyFacts
from gateway.domain.plans import Plans

_ADD = text(
    "INSERT INTO api_keys (id, user_id, name, hash, prefix, scopes, rpm, tpm, concurrency, models, ips,"
    " expires_at, budget_nano, budget_period, budget_timezone, budget_alert_percent, max_charge_nano)"
    " VALUES (:id, :user, :name, :hash, :prefix, :scopes, :rpm, :tpm, :concurrency, :models, :ips,"
    " :expires_at, :budget_nano, :budget_period, :budget_timezone, :budget_alert_percent, :max_charge_nano)"
    " ON CONFLICT DO NOTHING"
)
_GET = text("SELECT * FROM api_keys k WHERE k.id = CAST(:id AS uuid)")
_FIND = text(
    "SELECT * FROM api_keys k WHERE k.user_id = CAST(:user AS uuid) AND k.name = :name"
    " ORDER BY k.revoked_at DESC NULLS FIRST LIMIT 1"
)
_UPDATE = text(
    "UPDATE api_keys SET name = :name, scopes = :scopes, rpm = :rpm, tpm = :tpm, concurrency = :concurrency,"
    " models = :models, ips = :ips, expires_at = :expires_at, budget_nano = :budget_nano,"
    " budget_period = :budget_period, budget_timezone = :budget_timezone,"
    " budget_alert_percent = :budget_alert_percent, max_charge_nano = :max_charge_nano,"
    " revoked_at = :revoked_at WHERE id = :id"
)
_LIST = text(
    "SELECT * FROM api_keys k"
    " WHERE (CAST(:user AS uuid) IS NULL OR k.user_id = CAST(:user AS uuid))"
    " AND (CAST(:after AS uuid) IS NULL OR k.id > CAST(:after AS uuid))"
    " ORDER BY k.id LIMIT :limit"
)
_FACTS = text(
    "SELECT k.*, u.account, u.role, u.group_name, g.rate_micro, m.plan, m.until FROM api_keys k"
    " JOIN users u ON u.id = k.user_id JOIN groups g ON g.name = u.group_name"
    " LEFT JOIN memberships m ON m.account = u.account"
    " WHERE k.hash = :hash AND k.revoked_at IS NULL AND u.enabled"
)
_PERSON = text(
    "SELECT u.id, u.account, u.group_name, g.rate_micro, m.plan, m.until FROM users u"
    " JOIN groups g ON g.name = u.group_name LEFT JOIN memberships m ON m.account = u.account"
    " WHERE u.id = CAST(:user AS uuid) AND u.enabled"
)
_RATES = text("SELECT name, rate_micro FROM groups WHERE name = ANY(:names)")


class PostgresKeys:
    """See the Keys port. Ids that are no UUIDs are refused before they come here."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, key: Key) -> bool:
        """False when the secret, or the name among the user's live keys, is taken."""
        return (await self._connection.execute(_ADD, _values(key))).rowcount == 1

    async def get(self, key: str) -> Key | None:
        """By id."""
        row = (await self._connection.execute(_GET, {"id": key})).one_or_none()
        return None if row is None else _key(row)

    async def find(self, user: str, name: str) -> Key | None:
        """The live key of that name, else the one revoked last."""
        row = (await self._connection.execute(_FIND, {"user": user, "name": name})).one_or_none()
        return None if row is None else _key(row)

    async def update(self, key: Key) -> None:
        """All but id, owner and secret."""
        await self._connection.execute(_UPDATE, _values(key))

    async def list_page(self, user: str | None, after: str | None, limit: int) -> list[Key]:
        """In the order of ids, which is the order they were made in."""
        values = {"user": user, "after": after, "limit": limit}
        return [_key(row) for row in await self._connection.execute(_LIST, values)]


class PostgresKeyFinder:
    """See the ports KeyFinder and PersonFinder.

    One indexed query on its own connection, and one more for groups of plans. Plans are for people in the
    group `default`: who was put into another keeps it and all that it gives.
    """

    def __init__(self, database: Database, plans: Plans) -> None:
        self._database = database
        self._plans = plans

    async def find_key(self, digest: bytes) -> KeyFacts | None:
        """The facts; the scope `admin` counts only while the owner is an admin."""
        row, rates = await self._read(_FACTS, {"hash": digest})
        return None if row is None else self._under_plans(_facts(row), row, rates)

    async def find_person(self, user: str) -> KeyFacts | None:
        """The facts, of no key and without scopes."""
        row, rates = await self._read(_PERSON, {"user": user})
        if row is None:
            return None
        person = KeyFacts("", str(row.id), str(row.account), row.group_name, row.rate_micro, ())
        return self._under_plans(person, row, rates)

    async def _read(
        self, query: TextClause, values: dict[str, object]
    ) -> tuple[Row[Any] | None, dict[str, int]]:
        try:
            async with self._database.transaction() as connection:
                row = (await connection.execute(query, values)).one_or_none()
                rates: dict[str, int] = {}
                if self._plans.groups and row is not None and row.group_name == DEFAULT:
                    found = await connection.execute(_RATES, {"names": self._plans.groups})
                    rates = {name: rate_micro for name, rate_micro in found}  # noqa: C416  as mypy sees rows
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            raise as_unavailable(error) from error
        return row, rates

    def _under_plans(self, facts: KeyFacts, row: Row[Any], rates: dict[str, int]) -> KeyFacts:
        if row.group_name != DEFAULT:
            return facts
        everybody = facts.under(self._plans.base, rates)
        plan = None if row.until is None else self._plans.named(row.plan)
        if plan is None:
            return everybody
        member = facts.under(plan, rates)
        return msgspec.structs.replace(member, plan_until_s=row.until.timestamp(), lapsed=everybody)


def _facts(row: Row[Any]) -> KeyFacts:
    key = _key(row)
    return KeyFacts(
        key=key.id,
        user=key.user,
        account=str(row.account),
        group=row.group_name,
        rate_micro=row.rate_micro,
        scopes=tuple(scope for scope in key.scopes if scope != "admin" or row.role == "admin"),
        models=key.models,
        limits=key.limits,
        networks=key.networks(),
        expires_at_s=None if key.expires_at is None else key.expires_at.timestamp(),
    )


def _values(key: Key) -> dict[str, object]:
    values = msgspec.structs.asdict(key)
    for name in ("scopes", "models", "ips"):
        values[name] = None if values[name] is None else list(values[name])
    return values


def _key(row: Row[Any]) -> Key:
    return Key(
        id=str(row.id),
        user=str(row.user_id),
        name=row.name,
        hash=bytes(row.hash),
        prefix=row.prefix,
        scopes=tuple(row.scopes),
        rpm=row.rpm,
        tpm=row.tpm,
        concurrency=row.concurrency,
        models=None if row.models is None else tuple(row.models),
        ips=None if row.ips is None else tuple(row.ips),
        expires_at=row.expires_at,
        budget_nano=row.budget_nano,
        budget_period=row.budget_period,
        budget_timezone=row.budget_timezone,
        budget_alert_percent=row.budget_alert_percent,
        max_charge_nano=row.max_charge_nano,
        created_at=row.created_at,
        revoked_at=row.revoked_at,
    )
