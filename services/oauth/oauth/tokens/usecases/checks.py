"""Tell another service what an access token stands for."""

from common.contracts.oauth import TokenCheck, TokenFound
from oauth.domain.errors import InvalidTokenError
from oauth.domain.ports import Clock, Store
from oauth.domain.tokens import Digester


class TokenChecks:
    """What the gateway asks for each token that it does not know yet."""

    def __init__(self, store: Store, digester: Digester, clock: Clock) -> None:
        self._store = store
        self._digester = digester
        self._clock = clock

    async def check(self, request: TokenCheck) -> TokenFound:
        """What it stands for now; InvalidTokenError for one that does not count."""
        live = await self._store.find_token(self._digester.digest(request.token), self._clock())
        if live is None:
            raise InvalidTokenError("The access token is unknown, expired or revoked.")
        return TokenFound(
            grant=live.grant.id,
            app=live.app.client_id,
            user=live.person.user,
            account=live.person.account,
            scopes=live.scopes,
            expires_at_s=int(live.expires_at.timestamp()),
            budget=live.grant.spending.budget,
            jkt=live.token.jkt,
        )
