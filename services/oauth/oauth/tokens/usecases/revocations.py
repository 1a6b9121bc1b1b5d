"""Revoke a token at the app's wish (RFC 7009)."""

from oauth.domain.apps import App
from oauth.domain.errors import InvalidGrantError
from oauth.domain.ports import Clock, Store
from oauth.domain.tokens import ACCESS_PREFIX, REFRESH_PREFIX, Digester
from oauth.usecases.families import end_family, record_tokens_revoked

_FOREIGN = "The token was issued to another app."


class Revocations:
    """What kind of token it is shows in the token itself, so that the hint of section 2.1 is not needed."""

    def __init__(self, store: Store, digester: Digester, clock: Clock) -> None:
        self._store = store
        self._digester = digester
        self._clock = clock

    async def revoke(self, app: App, token: str) -> None:
        """End an access token, or with a refresh token all of its family; nothing for one that has ended.

        InvalidGrantError for a token of another app (section 2.1).
        """
        digest = self._digester.digest(token)
        if token.startswith(ACCESS_PREFIX):
            await self._revoke_access(app, digest)
        elif token.startswith(REFRESH_PREFIX):
            await self._revoke_refresh(app, digest)

    async def _revoke_access(self, app: App, digest: bytes) -> None:
        live = await self._store.find_token(digest, self._clock())
        if live is None:
            return
        if live.app.id != app.id:
            raise InvalidGrantError(_FOREIGN)
        async with self._store.transaction() as work:
            if await work.tokens.remove_access(digest):
                await record_tokens_revoked(work, live.grant, app, "app")

    async def _revoke_refresh(self, app: App, digest: bytes) -> None:
        async with self._store.transaction() as work:
            found = await work.tokens.find_refresh(digest)
            standing = None if found is None else await work.tokens.find_standing(found.family)
            if standing is None:
                return
            if standing.grant.app != app.id:
                raise InvalidGrantError(_FOREIGN)
            await end_family(work, standing.family.id, standing.grant, app, "app", self._clock())
