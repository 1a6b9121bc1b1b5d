"""Codes and refresh tokens, found with what they stand on, and used up for new tokens."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from oauth.adapters.postgres.tokens import STANDING_COLUMNS, STANDS, standing_of
from oauth.domain.ports import Spent
from oauth.domain.tokens import Code, RefreshToken, Standing, Swap

_FIND = """
SELECT {standing}, {columns} FROM {table} AS t {stands} WHERE t.digest = ANY($1::bytea[])
"""
_FIND_CODES = _FIND.format(
    table="codes",
    standing=STANDING_COLUMNS,
    stands=STANDS,
    columns="t.digest, t.redirect_uri, t.challenge, t.expires_at, t.dpop_jkt, t.used_at",
)
_FIND_REFRESHES = _FIND.format(
    table="refresh_tokens",
    standing=STANDING_COLUMNS,
    stands=STANDS,
    columns="t.digest, t.issued_at, t.expires_at, t.used_at",
)
_OWN = 24
"""Where a row's own columns begin, behind those of its standing; the first is the digest."""
# Of two who use one thing, in this statement or in two at once, one finds it unused.
_SWAP = """
WITH asked AS (
    SELECT * FROM unnest($2::bytea[], $3::uuid[], $4::text[], $5::text[], $6::bytea[], $7::timestamptz[],
                         $8::bytea[], $9::timestamptz[], $10::text[])
      WITH ORDINALITY AS a (spent, family, scopes, jkt, access, access_until, refresh, refresh_until,
                            bound_to, place)
), taken AS (
    UPDATE {table} AS s SET used_at = $1 FROM asked AS a
     WHERE s.digest = a.spent AND s.used_at IS NULL AND s.expires_at > $1 RETURNING a.*
), access AS (
    INSERT INTO access_tokens (digest, family, scopes, jkt, issued_at, expires_at)
    SELECT access, family, string_to_array(scopes, ' '), jkt, $1, access_until FROM taken
     WHERE access IS NOT NULL
), refresh AS (
    INSERT INTO refresh_tokens (digest, family, issued_at, expires_at)
    SELECT refresh, family, $1, refresh_until FROM taken WHERE refresh IS NOT NULL
), bound AS (
    UPDATE families AS f SET jkt = t.bound_to FROM taken AS t
     WHERE f.id = t.family AND t.bound_to <> '' AND f.jkt = ''
)
SELECT place FROM taken
"""
_SWAPS: dict[Spent, str] = {
    "codes": _SWAP.format(table="codes"),
    "refresh_tokens": _SWAP.format(table="refresh_tokens"),
}


class PostgresExchanges:
    """See the Exchanging port."""

    def __init__(self, driver: asyncpg.Connection) -> None:
        self._driver = driver

    async def find_codes(self, digests: Sequence[bytes]) -> dict[bytes, tuple[Code, Standing]]:
        """Each join goes by a primary key."""
        rows = await self._driver.fetch(_FIND_CODES, digests)
        return {row[_OWN]: (Code(row[_OWN], row[0], *row[_OWN + 1 :]), standing_of(row)) for row in rows}

    async def find_refreshes(self, digests: Sequence[bytes]) -> dict[bytes, tuple[RefreshToken, Standing]]:
        """As `find_codes`."""
        rows = await self._driver.fetch(_FIND_REFRESHES, digests)
        return {
            row[_OWN]: (RefreshToken(row[_OWN], row[0], *row[_OWN + 1 :]), standing_of(row)) for row in rows
        }

    async def swap(self, of: Spent, swaps: Sequence[Swap], now: datetime) -> list[bool]:
        """In the order of the digests, so that of two batches that share some one waits for the other and
        neither has what the other needs.
        """
        order = sorted(range(len(swaps)), key=lambda place: swaps[place].digest)
        columns = zip(*(_row(swaps[place]) for place in order), strict=True)
        rows = await self._driver.fetch(_SWAPS[of], now, *map(list, columns))
        done = {order[row[0] - 1] for row in rows}
        return [place in done for place in range(len(swaps))]


def _row(one: Swap) -> tuple[object, ...]:
    access, refresh = one.access, one.refresh
    given = (None,) * 5 if access is None else (
        access.family, " ".join(access.scopes), access.jkt, access.digest, access.expires_at,
    )  # fmt: skip
    renewed = (None, None) if refresh is None else (refresh.digest, refresh.expires_at)
    return (one.digest, *given, *renewed, one.bound_to)
