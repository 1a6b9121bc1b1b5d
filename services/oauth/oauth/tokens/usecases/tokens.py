"""The token endpoint: each grant type, and the answer they share (RFC 6749 section 5.1)."""

from collections.abc import Callable, Mapping

import msgspec

from oauth.domain.apps import App
from oauth.domain.codes import CodeUse
from oauth.domain.details import granted_details
from oauth.domain.errors import InvalidProofError, OAuthError, UnsupportedGrantTypeError
from oauth.domain.parameters import required
from oauth.domain.ports import Clock, Exchange, IdTokens, Store
from oauth.domain.refreshes import Refresh
from oauth.domain.scopes import SPENDING
from oauth.domain.tokens import Digester, Family, is_renewed
from oauth.usecases.exchanges import Exchanges
from oauth.usecases.tokens import Issued, TokenIssuer

CODE, REFRESH = "authorization_code", "refresh_token"


class TokenAnswer(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """RFC 6749 section 5.1, with the granted `authorization_details` (RFC 9396 section 7) and an ID token."""

    access_token: str
    token_type: str
    expires_in: int
    scope: str
    refresh_token: str | None = None
    authorization_details: list[dict[str, object]] = []
    id_token: str | None = None


class TokenEndpoint:
    """Takes what an app holds and gives tokens for it.

    `others` are the grant types of other features, `id_tokens` who mints ID tokens, when somebody does.
    """

    def __init__(
        self,
        store: Store,
        digester: Digester,
        clock: Clock,
        others: Mapping[str, Exchange],
        id_tokens: Callable[[], IdTokens | None],
    ) -> None:
        self._store = store
        self._digester = digester
        self._clock = clock
        self._issuer = TokenIssuer(digester)
        self._exchanges = Exchanges(store, digester, clock)
        self._others = others
        self._id_tokens = id_tokens

    async def exchange(self, app: App, form: Mapping[str, str], jkt: str) -> TokenAnswer:
        """Tokens for the form's grant, bound to `jkt`, the key that was proved, when it is not empty.

        Raises OAuthError; what a refusal must leave behind is committed first.
        """
        if app.require_dpop and not jkt:
            raise InvalidProofError("This app must send a DPoP proof.")
        return await self._answer(app, await self._issue(app, form, jkt))

    async def _issue(self, app: App, form: Mapping[str, str], jkt: str) -> Issued:
        grant_type = required(form, "grant_type")
        if grant_type == CODE:
            digest = self._digester.digest(required(form, "code"))
            use = CodeUse(digest, form.get("code_verifier"), form.get("redirect_uri"), jkt)
            return await self._exchanges.use_code(app, use)
        if grant_type == REFRESH:
            digest = self._digester.digest(required(form, "refresh_token"))
            return await self._exchanges.use_refresh(app, Refresh(digest, form.get("scope"), jkt))
        exchange = self._others.get(grant_type)
        if exchange is None:
            raise UnsupportedGrantTypeError("This grant type is not supported.", param="grant_type")
        async with self._store.transaction() as work:
            outcome = await exchange(work, app, form)
            if isinstance(outcome, Family):
                renews = is_renewed(outcome.scopes)
                issued = await self._issuer.issue(work, app, outcome, self._clock(), jkt=jkt, renews=renews)
        if isinstance(outcome, OAuthError):
            raise outcome
        return issued

    async def _answer(self, app: App, issued: Issued) -> TokenAnswer:
        id_tokens = self._id_tokens()
        id_token = None
        if id_tokens is not None and "openid" in issued.scopes:
            id_token = await id_tokens.mint(app, issued.grant, issued.family, issued.person)
        spends = not SPENDING.isdisjoint(issued.scopes)
        return TokenAnswer(
            access_token=issued.access_token,
            token_type="DPoP" if issued.jkt else "Bearer",
            expires_in=issued.expires_in_s,
            scope=" ".join(issued.scopes),
            refresh_token=issued.refresh_token,
            authorization_details=granted_details(issued.grant) if spends else [],
            id_token=id_token,
        )
