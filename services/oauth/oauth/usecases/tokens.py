"""Make tokens of a family."""

from collections.abc import Sequence
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
    Standing,
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


class Made(msgspec.Struct, frozen=True):
    """New tokens, and what must be stored of them before they are told.

    `bound_to` not empty: the key that the family's refresh tokens are bound to from now on.
    """

    issued: Issued
    access: AccessToken
    refresh: RefreshToken | None
    bound_to: str


class TokenIssuer:
    """Makes tokens; nothing of them is stored but their digests."""

    def __init__(self, digester: Digester) -> None:
        self._digester = digester

    def make(
        self,
        app: App,
        standing: Standing,
        scopes: Sequence[str],
        now: datetime,
        *,
        jkt: str = "",
        renews: bool = True,
        lifetime: timedelta = ACCESS_LIFETIME,
    ) -> Made:
        """An access token with those of `scopes` that app and grant have, bound to `jkt`, and with `renews` a
        refresh token.

        InvalidGrantError when the family, its grant or its person counts no more. No token outlives what it
        stands on. The first key that a public app proves is the one its refresh tokens are bound to (RFC
        9449 section 5).
        """
        if not standing.counts_at(now):
            raise InvalidGrantError("What the person allowed has ended.")
        family, grant, end, digest = standing.family, standing.grant, standing.ends_at, self._digester.digest
        allowed = allowed_now(scopes, app, grant)
        access, refresh = generate(ACCESS_PREFIX), generate(REFRESH_PREFIX) if renews else None
        until, until_idle = min(now + lifetime, end), min(now + REFRESH_IDLE, end)
        expires_in_s = int((until - now).total_seconds())
        return Made(
            Issued(access, refresh, allowed, expires_in_s, jkt, family, grant, standing.person),
            AccessToken(digest(access), family.id, allowed, now, until, jkt),
            None if refresh is None else RefreshToken(digest(refresh), family.id, now, until_idle),
            jkt if app.is_public and not family.jkt else "",
        )

    async def issue(
        self, work: OAuthTransaction, app: App, family: Family, now: datetime, *, jkt: str, renews: bool
    ) -> Issued:
        """`make` for a family that was taken in this transaction, and store it."""
        standing = await work.tokens.find_standing(family.id)
        if standing is None:
            raise InvalidGrantError("What the person allowed has ended.")
        made = self.make(app, standing, family.scopes, now, jkt=jkt, renews=renews)
        if made.bound_to:
            await work.tokens.bind_family(family.id, made.bound_to)
        await work.tokens.add_tokens(made.access, made.refresh)
        return made.issued
