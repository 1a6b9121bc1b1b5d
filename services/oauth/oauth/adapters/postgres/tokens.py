"""The tables of families, codes and tokens, and the one query that a token check asks."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

import asyncpg
from sqlalchemy import TextClause, text

from oauth.adapters.postgres.apps import KnownApps
from oauth.adapters.postgres.records import Fields
from oauth.domain.apps import App
from oauth.domain.grants import Grant, Person, Spending
from oauth.domain.tokens import AccessToken, Code, Family, LiveToken, RefreshToken, Standing

_ADD_FAMILY = """
INSERT INTO families (id, grant_id, scopes, jkt, auth_time, nonce, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
_GET_FAMILY = "SELECT * FROM families WHERE id = $1"
_BIND_FAMILY = "UPDATE families SET jkt = $2 WHERE id = $1"
_REVOKE_FAMILY = "UPDATE families SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL RETURNING true"
_LAST_GIVEN = """
SELECT f.grant_id::text, greatest(max(f.created_at), max(r.issued_at)) FROM families f
  LEFT JOIN refresh_tokens r ON r.family = f.id WHERE f.grant_id = ANY($1::uuid[]) GROUP BY f.grant_id
"""
_REVOKE_FAMILIES = "UPDATE families SET revoked_at = $2 WHERE grant_id = $1 AND revoked_at IS NULL"
_ADD_CODE = """
INSERT INTO codes (digest, family, redirect_uri, challenge, dpop_jkt, expires_at)
VALUES ($1, $2, $3, $4, $5, $6)
"""
_FIND_CODE = "SELECT * FROM codes WHERE digest = $1"
_ADD_ACCESS = """
INSERT INTO access_tokens (digest, family, scopes, jkt, issued_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)
"""
_ADD_BOTH = f"""
WITH access AS ({_ADD_ACCESS})
INSERT INTO refresh_tokens (digest, family, issued_at, expires_at) VALUES ($7, $2, $5, $8)
"""  # noqa: S608
_REMOVE_ACCESS = "DELETE FROM access_tokens WHERE digest = $1 RETURNING true"
_FIND_REFRESH = "SELECT * FROM refresh_tokens WHERE digest = $1"
STANDING_COLUMNS = """
       f.id::text, f.scopes, f.auth_time, f.created_at, f.expires_at, f.jkt, f.nonce, f.revoked_at,
       g.id::text, g.app::text, g.user_id::text, g.scopes,
       g.limit_nano, g.period, g.timezone, g.max_charge_nano, g.expires_at,
       g.created_at, g.updated_at, g.revoked_at, g.revoked_by, p.account::text, p.email, p.enabled
"""
"""First in a SELECT of families, grants and people, for `standing_of`."""
_STANDING = f"""
SELECT {STANDING_COLUMNS} FROM families f
  JOIN grants g ON g.id = f.grant_id JOIN people p ON p.user_id = g.user_id WHERE f.id = $1
"""  # noqa: S608  names of our own
STANDS = """
 CROSS JOIN LATERAL (SELECT * FROM families WHERE id = t.family OFFSET 0) AS f
 CROSS JOIN LATERAL (SELECT * FROM grants WHERE id = f.grant_id OFFSET 0) AS g
 CROSS JOIN LATERAL (SELECT * FROM people WHERE user_id = g.user_id OFFSET 0) AS p
"""
"""What the family of each `t` stands on, row by row by primary keys: OFFSET 0 leaves the planner no choice.
Given plain joins it read every live grant there was, since a plan is made while tables are small and stays.
"""
_LIVE = f"""
SELECT g.app::text, a.xmin, t.digest, t.scopes, t.issued_at, t.expires_at, t.jkt,
       f.id::text, f.scopes, f.auth_time, f.created_at, f.expires_at, f.jkt, f.nonce,
       g.id::text, g.user_id::text, g.scopes, g.created_at, g.updated_at,
       g.limit_nano, g.period, g.timezone, g.max_charge_nano, g.expires_at, p.account::text, p.email
  FROM access_tokens AS t {STANDS}
 CROSS JOIN LATERAL (SELECT xmin, disabled_at FROM apps WHERE id = g.app OFFSET 0) AS a
 WHERE t.digest = ANY($1::bytea[]) AND t.expires_at > $2 AND f.revoked_at IS NULL AND f.expires_at > $2
   AND g.revoked_at IS NULL AND (g.expires_at IS NULL OR g.expires_at > $2)
   AND a.disabled_at IS NULL AND p.enabled
"""  # noqa: S608  names of our own
_KEEP = timedelta(days=1)
"""What ended is kept this long, so that its replay is still known for what it is."""


def _oldest(table: str, key: str, moment: str = "before") -> TextClause:
    return text(
        f"DELETE FROM {table} WHERE {key} = ANY(ARRAY(SELECT {key} FROM {table}"  # noqa: S608  our own names
        f" WHERE expires_at < :{moment} ORDER BY expires_at LIMIT :limit))"
    )


PRUNES = (
    _oldest("authorization_requests", "digest", "now"),
    _oldest("used_proofs", "digest", "now"),
    _oldest("access_tokens", "digest"),
    _oldest("refresh_tokens", "digest"),
    _oldest("families", "id"),
    # Its tokens are gone, or its code was never exchanged: nobody can ask for anything by it again. The
    # newest of a grant stays and tells when the app was last used. Only those of the last days are looked
    # at; what lives on renewals goes when its year is over.
    text(
        "DELETE FROM families WHERE id = ANY(ARRAY(SELECT f.id FROM families AS f"
        " WHERE f.created_at > :lately AND f.created_at < :before"
        " AND EXISTS (SELECT FROM families AS n"
        " WHERE n.grant_id = f.grant_id AND n.created_at > f.created_at)"
        " AND NOT EXISTS (SELECT FROM access_tokens AS t WHERE t.family = f.id)"
        " AND NOT EXISTS (SELECT FROM refresh_tokens AS t WHERE t.family = f.id) LIMIT :limit))"
    ),
)
"""Delete what ended a day ago and more, `:limit` rows of it; codes go with their families."""


def prune_times(now: datetime) -> dict[str, datetime]:
    """The moments that PRUNES name."""
    return {"now": now, "before": now - _KEEP, "lately": now - 3 * _KEEP}


class PostgresTokens:
    """See the Tokens port. It speaks to asyncpg: tokens are given out and looked at all the time."""

    def __init__(self, driver: asyncpg.Connection) -> None:
        self._driver = driver

    async def add_family(self, family: Family) -> None:
        """Store a new one."""
        await self._driver.execute(
            _ADD_FAMILY,
            family.id,
            family.grant,
            family.scopes,
            family.jkt,
            family.auth_time,
            family.nonce,
            family.created_at,
            family.expires_at,
        )

    async def get_family(self, family: str) -> Family | None:
        """By id."""
        row = await self._driver.fetchrow(_GET_FAMILY, family)
        return None if row is None else _family(Fields(row))

    async def find_standing(self, family: str) -> Standing | None:
        """With one query; each join goes by a primary key."""
        row = await self._driver.fetchrow(_STANDING, family)
        return None if row is None else standing_of(row)

    async def bind_family(self, family: str, jkt: str) -> None:
        """Set its key."""
        await self._driver.execute(_BIND_FAMILY, family, jkt)

    async def revoke_family(self, family: str, now: datetime) -> bool:
        """False when it had ended."""
        return bool(await self._driver.fetchval(_REVOKE_FAMILY, family, now))

    async def last_given(self, grants: Collection[str]) -> dict[str, datetime]:
        """Consents and refreshed tokens; served by families_grant and refresh_tokens_family."""
        return {row[0]: row[1] for row in await self._driver.fetch(_LAST_GIVEN, list(grants))}

    async def revoke_families(self, grant: str, now: datetime) -> None:
        """Served by families_grant."""
        await self._driver.execute(_REVOKE_FAMILIES, grant, now)

    async def add_code(self, code: Code) -> None:
        """Store a new one."""
        values = (code.digest, code.family, code.redirect_uri, code.challenge, code.dpop_jkt, code.expires_at)
        await self._driver.execute(_ADD_CODE, *values)

    async def find_code(self, digest: bytes) -> Code | None:
        """Whatever its state."""
        row = await self._driver.fetchrow(_FIND_CODE, digest)
        return None if row is None else code_of(Fields(row))

    async def add_tokens(self, access: AccessToken, refresh: RefreshToken | None) -> None:
        """Store new ones, with one statement."""
        values = (
            access.digest,
            access.family,
            access.scopes,
            access.jkt,
            access.issued_at,
            access.expires_at,
        )
        if refresh is None:
            await self._driver.execute(_ADD_ACCESS, *values)
        else:
            await self._driver.execute(_ADD_BOTH, *values, refresh.digest, refresh.expires_at)

    async def remove_access(self, digest: bytes) -> bool:
        """False when there is none."""
        return bool(await self._driver.fetchval(_REMOVE_ACCESS, digest))

    async def find_refresh(self, digest: bytes) -> RefreshToken | None:
        """Whatever its state."""
        row = await self._driver.fetchrow(_FIND_REFRESH, digest)
        return None if row is None else refresh_of(Fields(row))


async def find_live_tokens(
    driver: asyncpg.Connection, apps: KnownApps, digests: Sequence[bytes], now: datetime
) -> list[LiveToken | None]:
    """Each token if it and all that it stands on count now; each join goes by a primary key."""
    rows = await driver.fetch(_LIVE, digests, now)
    known = await apps.at(driver, {(row[0], row[1]) for row in rows})
    found = {row[2]: _live(row, known[row[0]]) for row in rows}
    return [found.get(digest) for digest in digests]


def _live(row: asyncpg.Record, app: App) -> LiveToken:
    """From a row of _LIVE, by position: this is done for every request of an app."""
    family, grant, user = row[7], row[14], row[15]
    return LiveToken(
        AccessToken(row[2], family, tuple(row[3]), *row[4:7]),
        Family(family, grant, tuple(row[8]), *row[9:14]),
        Grant(grant, app.id, user, tuple(row[16]), Spending(*row[19:24]), row[17], row[18]),
        app,
        Person(user, row[24], row[25], enabled=True),
    )


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


def standing_of(row: asyncpg.Record) -> Standing:
    """From a row that begins with STANDING_COLUMNS, by position: by name it costs three times as much."""
    family, grant, user = row[0], row[8], row[10]
    return Standing(
        Family(family, grant, tuple(row[1]), *row[2:8]),
        Grant(grant, row[9], user, tuple(row[11]), Spending(*row[12:17]), *row[17:21]),
        Person(user, *row[21:24]),
    )


def code_of(row: Fields) -> Code:
    """A code from its row."""
    return Code(
        digest=row.digest,
        family=str(row.family),
        redirect_uri=row.redirect_uri,
        challenge=row.challenge,
        expires_at=row.expires_at,
        dpop_jkt=row.dpop_jkt,
        used_at=row.used_at,
    )


def refresh_of(row: Fields) -> RefreshToken:
    """A refresh token from its row."""
    return RefreshToken(row.digest, str(row.family), row.issued_at, row.expires_at, row.used_at)
