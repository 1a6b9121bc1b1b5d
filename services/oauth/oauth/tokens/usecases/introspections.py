"""Tell an app what its token is worth (RFC 7662)."""

from datetime import datetime

import msgspec

from oauth.domain.apps import App
from oauth.domain.details import granted_details
from oauth.domain.grants import Grant
from oauth.domain.ports import Clock, Store
from oauth.domain.scopes import SPENDING
from oauth.domain.subjects import pairwise_subject
from oauth.domain.tokens import ACCESS_PREFIX, REFRESH_PREFIX, Digester, allowed_now


class Introspection(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """RFC 7662 section 2.2; `cnf` of RFC 9449 section 6.2, `authorization_details` of RFC 9396 section 9.2.

    `sub` is the app's own name for the person. `token_type` is absent for refresh tokens.
    """

    active: bool
    scope: str | None = None
    client_id: str | None = None
    sub: str | None = None
    exp: int | None = None
    iat: int | None = None
    iss: str | None = None
    aud: str | None = None
    token_type: str | None = None
    cnf: dict[str, str] | None = None
    authorization_details: list[dict[str, object]] = []


INACTIVE = Introspection(active=False)
"""All that is told of a token that is unknown, has ended, or is another app's."""


class Introspections:
    """Apps see their own tokens only."""

    def __init__(self, store: Store, digester: Digester, clock: Clock, issuer: str) -> None:
        self._store = store
        self._digester = digester
        self._clock = clock
        self._issuer = issuer

    async def introspect(self, app: App, token: str) -> Introspection:
        """What the token is worth now."""
        digest = self._digester.digest(token)
        if token.startswith(ACCESS_PREFIX):
            return await self._introspect_access(app, digest)
        if token.startswith(REFRESH_PREFIX):
            return await self._introspect_refresh(app, digest)
        return INACTIVE

    async def _introspect_access(self, app: App, digest: bytes) -> Introspection:
        live = await self._store.find_token(digest, self._clock())
        if live is None or live.app.id != app.id:
            return INACTIVE
        token = live.token
        told = self._tell(app, live.grant, live.scopes, token.issued_at, live.expires_at, token.jkt)
        return msgspec.structs.replace(told, token_type="DPoP" if token.jkt else "Bearer")

    async def _introspect_refresh(self, app: App, digest: bytes) -> Introspection:
        now = self._clock()
        async with self._store.transaction() as work:
            token = await work.tokens.find_refresh(digest)
            if token is None or token.used_at is not None or token.expires_at <= now:
                return INACTIVE
            standing = await work.tokens.find_standing(token.family)
        if standing is None or standing.grant.app != app.id or not standing.counts_at(now):
            return INACTIVE
        family, grant = standing.family, standing.grant
        scopes = allowed_now(family.scopes, app, grant)
        return self._tell(app, grant, scopes, token.issued_at, token.expires_at, family.jkt)

    def _tell(
        self,
        app: App,
        grant: Grant,
        scopes: tuple[str, ...],
        issued_at: datetime,
        expires_at: datetime,
        jkt: str,
    ) -> Introspection:
        return Introspection(
            active=True,
            scope=" ".join(scopes),
            client_id=app.client_id,
            sub=pairwise_subject(self._digester, app.client_id, grant.user),
            exp=int(expires_at.timestamp()),
            iat=int(issued_at.timestamp()),
            iss=self._issuer,
            aud=self._issuer,
            cnf={"jkt": jkt} if jkt else None,
            authorization_details=[] if SPENDING.isdisjoint(scopes) else granted_details(grant),
        )
