"""Make tokens of a family."""

from datetime import datetime, timedelta

import msgspec

from oauth.domain.apps import App
from oauth.domain.errors import InvalidGrantError
from oauth.domain.grants import Grant, Person
from oauth.domain.ports import OAuthTransaction
from oauth.domain.tokens import (
    ACCESS_LIFETIME,
    ACCESS_PREFIX,
    REFRESH_IDLE,
    REFRESH_PREFIX,
    AccessToken,
    Digester,
    Family,
    RefreshToken,
    allowed_now,
    generate,
)


class Issued(msgspec.Struct, frozen=True):
    """New tokens in clear, this once, and what they stand on; `jkt` not empty: bound to that DPoP key."""

    access_token: str
    refresh_token: str | None
    scopes: tuple[str, ...]
    expires_in_s: int
    jkt: str
    family: Family
    grant: Grant
    person: Person


class TokenIssuer:
    """Makes tokens; nothing of them is stored but their digests."""

    def __init__(self, digester: Digester) -> None:
        self._digester = digester

    async def issue(
        self,
        work: OAuthTransaction,
        app: App,
        family: Family,
        now: datetime,
        *,
        jkt: str = "",
        renews: bool = True,
        lifetime: timedelta = ACCESS_LIFETIME,
    ) -> Issued:
        """An access token with the family's scopes, bound to `jkt`, and with `renews` a refresh token.

        InvalidGrantError when the family, its grant or its person counts no more. No token outlives what it
        stands on. The first key that a public app proves is the one its refresh tokens are bound to (RFC
        9449 section 5).
        """
        standing = await work.tokens.find_standing(family.id)
        if standing is None or not standing.counts_at(now):
            raise InvalidGrantError("What the person allowed has ended.")
        grant, person, end = standing.grant, standing.person, standing.ends_at
        if jkt and app.is_public and not family.jkt:
            await work.tokens.bind_family(family.id, jkt)
        scopes = allowed_now(family.scopes, app, grant)
        access, refresh = generate(ACCESS_PREFIX), generate(REFRESH_PREFIX) if renews else None
        until, until_idle = min(now + lifetime, end), min(now + REFRESH_IDLE, end)
        digest = self._digester.digest
        await work.tokens.add_tokens(
            AccessToken(digest(access), family.id, scopes, now, until, jkt),
            None if refresh is None else RefreshToken(digest(refresh), family.id, now, until_idle),
        )
        expires_in_s = int((until - now).total_seconds())
        return Issued(access, refresh, scopes, expires_in_s, jkt, family, grant, person)
