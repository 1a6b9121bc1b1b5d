"""The tables of families, codes and tokens, and the one query that a token check asks."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

import asyncpg
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from oauth.adapters.postgres.apps import app_of
from oauth.adapters.postgres.grants import grant_of, person_of
from oauth.domain.tokens import AccessToken, Code, Family, LiveToken, RefreshToken, Standing

_ADD_FAMILY = text(
    "INSERT INTO families (id, grant_id, scopes, jkt, auth_time, nonce, created_at, expires_at)"
    " VALUES (:id, :grant, :scopes, :jkt, :auth_time, :nonce, :created_at, :expires_at)"
)
_GET_FAMILY = text("SELECT * FROM families WHERE id = CAST(:id AS uuid)")
_BIND_FAMILY = text("UPDATE families SET jkt = :jkt WHERE id = CAST(:id AS uuid)")
_REVOKE_FAMILY = text(
    "UPDATE families SET revoked_at = :now WHERE id = CAST(:id AS uuid) AND revoked_at IS NULL"
)
_LAST_GIVEN = text(
    "SELECT f.grant_id, greatest(max(f.created_at), max(r.issued_at)) AS at FROM families f"
    " LEFT JOIN refresh_tokens r ON r.family = f.id WHERE f.grant_id = ANY(CAST(:grants AS uuid[]))"
    " GROUP BY f.grant_id"
)
_REVOKE_FAMILIES = text(
    "UPDATE families SET revoked_at = :now WHERE grant_id = CAST(:grant AS uuid) AND revoked_at IS NULL"
)
_ADD_CODE = text(
    "INSERT INTO codes (digest, family, redirect_uri, challenge, dpop_jkt, expires_at)"
    " VALUES (:digest, :family, :redirect_uri, :challenge, :dpop_jkt, :expires_at)"
)
_FIND_CODE = text("SELECT * FROM codes WHERE digest = :digest")
_TAKE_CODE = text(
    "UPDATE codes SET used_at = :now WHERE digest = :digest AND used_at IS NULL AND expires_at > :now"
    " RETURNING *"
)
_ADD_ACCESS = (
    "INSERT INTO access_tokens (digest, family, scopes, jkt, issued_at, expires_at)"
    " VALUES (:access, :family, :scopes, :jkt, :issued_at, :access_until)"
)
_ADD_ACCESS_ALONE = text(_ADD_ACCESS)
_ADD_BOTH = text(
    f"WITH access AS ({_ADD_ACCESS}) INSERT INTO refresh_tokens (digest, family, issued_at, expires_at)"  # noqa: S608
    " VALUES (:refresh, :family, :issued_at, :refresh_until)"
)
_REMOVE_ACCESS = text("DELETE FROM access_tokens WHERE digest = :digest")
_FIND_REFRESH = text("SELECT * FROM refresh_tokens WHERE digest = :digest")
_TAKE_REFRESH = text(
    "UPDATE refresh_tokens SET used_at = :now WHERE digest = :digest AND used_at IS NULL"
    " AND expires_at > :now RETURNING *"
)
_STANDING = text(
    "SELECT f AS family_row, g AS grant_row, p AS person_row FROM families f"
    " JOIN grants g ON g.id = f.grant_id JOIN people p ON p.user_id = g.user_id"
    " WHERE f.id = CAST(:id AS uuid)"
)
_READ = {
    "t": "digest, family, scopes, jkt, issued_at, expires_at",
    "f": "id, grant_id, scopes, jkt, auth_time, nonce, created_at, expires_at, revoked_at",
    "g": "id, app, user_id, scopes, limit_nano, period, timezone, max_charge_nano, expires_at, created_at,"
    " updated_at, revoked_at, revoked_by",
    "a": "id, client_id, owner, owner_account, name, description, homepage, auth_method, secrets, jwks,"
    " redirect_uris, scopes, fee_micro, require_par, require_dpop, created_at, updated_at, disabled_at,"
    " disabled_by",
    "p": "user_id, account, email, enabled",
}
"""Every column by itself: a row within a row costs the server and asyncpg several times as much."""
_NAMES = ", ".join(f"{of}.{name} AS {of}_{name}" for of, names in _READ.items() for name in names.split(", "))
_LIVE = f"""
SELECT {_NAMES}
  FROM access_tokens t
  JOIN families f ON f.id = t.family
  JOIN grants g ON g.id = f.grant_id
  JOIN apps a ON a.id = g.app
  JOIN people p ON p.user_id = g.user_id
 WHERE t.digest = ANY($1::bytea[]) AND t.expires_at > $2 AND f.revoked_at IS NULL AND f.expires_at > $2
   AND g.revoked_at IS NULL AND (g.expires_at IS NULL OR g.expires_at > $2)
   AND a.disabled_at IS NULL AND p.enabled
"""  # noqa: S608  names of our own
_KEEP = timedelta(days=1)
"""What ended is kept this long, so that its replay is still known for what it is."""
_PRUNE = (
    text("DELETE FROM authorization_requests WHERE expires_at < :now"),
    text("DELETE FROM used_proofs WHERE expires_at < :now"),
    text("DELETE FROM access_tokens WHERE expires_at < :before"),
    text("DELETE FROM refresh_tokens WHERE expires_at < :before"),
    text("DELETE FROM families WHERE expires_at < :before"),
    # Its tokens are gone, or its code was never exchanged: nobody can ask for anything by it again. The
    # newest of a grant stays and tells when the app was last used.
    text(
        "DELETE FROM families AS f WHERE f.created_at < :before"
        " AND EXISTS (SELECT FROM families AS n"
        " WHERE n.grant_id = f.grant_id AND n.created_at > f.created_at)"
        " AND NOT EXISTS (SELECT FROM access_tokens AS t WHERE t.family = f.id)"
        " AND NOT EXISTS (SELECT FROM refresh_tokens AS t WHERE t.family = f.id)"
    ),
)


class PostgresTokens:
    """See the Tokens port."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add_family(self, family: Family) -> None:
        """Store a new one."""
        values: dict[str, object] = {
            "id": family.id,
            "grant": family.grant,
            "scopes": list(family.scopes),
            "jkt": family.jkt,
        }
        values |= {"auth_time": family.auth_time, "nonce": family.nonce}
        values |= {"created_at": family.created_at, "expires_at": family.expires_at}
        await self._connection.execute(_ADD_FAMILY, values)

    async def get_family(self, family: str) -> Family | None:
        """By id."""
        row = (await self._connection.execute(_GET_FAMILY, {"id": family})).one_or_none()
        return None if row is None else _family(row)

    async def find_standing(self, family: str) -> Standing | None:
        """With one query; each join goes by a primary key."""
        row = (await self._connection.execute(_STANDING, {"id": family})).one_or_none()
        if row is None:
            return None
        family_row, grant, person = (_Fields(record) for record in row)
        return Standing(_family(family_row), grant_of(grant), person_of(person))

    async def bind_family(self, family: str, jkt: str) -> None:
        """Set its key."""
        await self._connection.execute(_BIND_FAMILY, {"id": family, "jkt": jkt})

    async def revoke_family(self, family: str, now: datetime) -> bool:
        """False when it had ended."""
        result = await self._connection.execute(_REVOKE_FAMILY, {"id": family, "now": now})
        return result.rowcount == 1

    async def last_given(self, grants: Collection[str]) -> dict[str, datetime]:
        """Consents and refreshed tokens; served by families_grant and refresh_tokens_family."""
        rows = await self._connection.execute(_LAST_GIVEN, {"grants": list(grants)})
        return {str(row.grant_id): row.at for row in rows}

    async def revoke_families(self, grant: str, now: datetime) -> None:
        """Served by families_grant."""
        await self._connection.execute(_REVOKE_FAMILIES, {"grant": grant, "now": now})

    async def add_code(self, code: Code) -> None:
        """Store a new one."""
        values: dict[str, object] = {
            "digest": code.digest,
            "family": code.family,
            "redirect_uri": code.redirect_uri,
        }
        values |= {"challenge": code.challenge, "dpop_jkt": code.dpop_jkt, "expires_at": code.expires_at}
        await self._connection.execute(_ADD_CODE, values)

    async def find_code(self, digest: bytes) -> Code | None:
        """Whatever its state."""
        row = (await self._connection.execute(_FIND_CODE, {"digest": digest})).one_or_none()
        return None if row is None else _code(row)

    async def take_code(self, digest: bytes, now: datetime) -> Code | None:
        """One statement, so that of many at once one gets it."""
        row = (await self._connection.execute(_TAKE_CODE, {"digest": digest, "now": now})).one_or_none()
        return None if row is None else _code(row)

    async def add_tokens(self, access: AccessToken, refresh: RefreshToken | None) -> None:
        """Store new ones, with one statement."""
        values: dict[str, object] = {
            "access": access.digest,
            "family": access.family,
            "scopes": list(access.scopes),
            "jkt": access.jkt,
            "issued_at": access.issued_at,
            "access_until": access.expires_at,
        }
        if refresh is None:
            await self._connection.execute(_ADD_ACCESS_ALONE, values)
            return
        values |= {"refresh": refresh.digest, "refresh_until": refresh.expires_at}
        await self._connection.execute(_ADD_BOTH, values)

    async def remove_access(self, digest: bytes) -> bool:
        """False when there is none."""
        return (await self._connection.execute(_REMOVE_ACCESS, {"digest": digest})).rowcount == 1

    async def find_refresh(self, digest: bytes) -> RefreshToken | None:
        """Whatever its state."""
        row = (await self._connection.execute(_FIND_REFRESH, {"digest": digest})).one_or_none()
        return None if row is None else _refresh(row)

    async def take_refresh(self, digest: bytes, now: datetime) -> RefreshToken | None:
        """One statement, so that of many at once one gets it."""
        row = (await self._connection.execute(_TAKE_REFRESH, {"digest": digest, "now": now})).one_or_none()
        return None if row is None else _refresh(row)


async def find_live_tokens(
    driver: asyncpg.Connection, digests: Sequence[bytes], now: datetime
) -> list[LiveToken | None]:
    """Each token if it and all that it stands on count now; each join goes by a primary key."""
    found = {}
    for row in await driver.fetch(_LIVE, digests, now):
        token, family, grant, app, person = (_Fields(row, f"{of}_") for of in _READ)
        live = LiveToken(_access(token), _family(family), grant_of(grant), app_of(app), person_of(person))
        found[live.token.digest] = live
    return [found.get(digest) for digest in digests]


async def prune_tokens(connection: AsyncConnection, now: datetime) -> None:
    """Delete what ended a day ago and more; codes go with their families."""
    for statement in _PRUNE:
        await connection.execute(statement, {"now": now, "before": now - _KEEP})


class _Fields:
    """A value of asyncpg, read by attribute as SQLAlchemy's rows are; names begin with `prefix`."""

    def __init__(self, record: Any, prefix: str = "") -> None:
        self._record = record
        self._prefix = prefix

    def __getattr__(self, name: str) -> Any:
        return self._record[self._prefix + name]


def _access(row: Any) -> AccessToken:
    scopes = tuple(row.scopes)
    return AccessToken(bytes(row.digest), str(row.family), scopes, row.issued_at, row.expires_at, row.jkt)


def _family(row: Any) -> Family:
    return Family(
        id=str(row.id),
        grant=str(row.grant_id),
        scopes=tuple(row.scopes),
        auth_time=row.auth_time,
        created_at=row.created_at,
        expires_at=row.expires_at,
        jkt=row.jkt,
        nonce=row.nonce,
        revoked_at=row.revoked_at,
    )


def _code(row: Row[Any]) -> Code:
    return Code(
        digest=bytes(row.digest),
        family=str(row.family),
        redirect_uri=row.redirect_uri,
        challenge=row.challenge,
        expires_at=row.expires_at,
        dpop_jkt=row.dpop_jkt,
        used_at=row.used_at,
    )


def _refresh(row: Row[Any]) -> RefreshToken:
    return RefreshToken(bytes(row.digest), str(row.family), row.issued_at, row.expires_at, row.used_at)
