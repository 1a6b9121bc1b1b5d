"""OhMyGPT's dialect: sign people in, issue a token, ask with it."""

from collections.abc import Mapping
from datetime import timedelta

import msgspec

from common.contracts.errors import NotFoundError
from common.contracts.identity import SessionFound
from oauth.aliases.domain.envelopes import SCOPE, Call, told
from oauth.aliases.domain.redirects import add_query, fill_template, read_template
from oauth.domain.apps import App
from oauth.domain.codes import CodeUse, read_challenge
from oauth.domain.consents import Ticket
from oauth.domain.errors import (
    InvalidProofError,
    InvalidRequestError,
    UnauthorizedClientError,
    UnsupportedResponseTypeError,
)
from oauth.domain.parameters import required, state_of
from oauth.domain.ports import Clock, Decision, OAuthTransaction, Resource, Store
from oauth.domain.redirects import find_redirect, form_targets, is_assured, place_of
from oauth.domain.scopes import allowed_scopes, parse_scope
from oauth.domain.subjects import pairwise_subject
from oauth.domain.tokens import CODE_LIFETIME, FAMILY_LIFETIME, Digester, LiveToken
from oauth.usecases.clients import ClientAuthenticator
from oauth.usecases.codes import make_code
from oauth.usecases.consents import Consents
from oauth.usecases.exchanges import Exchanges

KIND = "envelope"
"""Of tickets that are completed by a code in this dialect."""
COPY_LIFETIME = timedelta(minutes=10)
"""Of a code that a person copies by hand; the most that RFC 6749 section 4.1.2 recommends."""
_OPEN = frozenset(("management_token",))
"""Scopes that SCOPE does not include: they are asked by name."""


class TokenIssued(msgspec.Struct, frozen=True):
    """What the dialect tells of a new token; it says nothing of its end."""

    user_id: str
    client_id: str
    token: str


class Reply(msgspec.Struct, frozen=True):
    """What the answer needs once the person has decided; the `state` of a ticket."""

    redirect_uri: str
    state: str
    challenge: str
    template: str


class EnvelopeFlow:
    """The use-cases of the dialect. `legacy_apps` are the client ids that may do without PKCE; `page` is the
    one that shows a code to be copied.
    """

    def __init__(
        self,
        store: Store,
        clients: ClientAuthenticator,
        consents: Consents,
        digester: Digester,
        clock: Clock,
        legacy_apps: frozenset[str],
        page: str,
    ) -> None:
        self._store = store
        self._clients = clients
        self._consents = consents
        self._digester = digester
        self._clock = clock
        self._legacy_apps = legacy_apps
        self._page = page
        self._exchanges = Exchanges(store, digester, clock)

    async def begin(self, parameters: Mapping[str, str], session: SessionFound | None) -> str:
        """Where to send the browser: on, when the person allowed all of it before, else to the consent page.

        Every fault is an OAuthError for a page: nobody is sent anywhere with it.
        """
        app = await self._clients.identify(parameters)
        redirect_uri = find_redirect(parameters.get("redirect_uri"), app.redirect_uris)
        if redirect_uri is None:
            raise InvalidRequestError("The redirect_uri is not one of the app.", param="redirect_uri")
        if app.require_par or app.require_dpop:
            raise UnauthorizedClientError("This app must use the standard endpoints.")
        if parameters.get("response_type") != "code":
            raise UnsupportedResponseTypeError("The response_type is code.", param="response_type")
        state, template = state_of(parameters), parameters.get("redirect_template", "")
        template = read_template(template, redirect_uri) if template else ""
        reply = Reply(redirect_uri, state, self._challenge(app, parameters), template)
        ticket = Ticket(
            kind=KIND,
            app=app.id,
            scopes=_scopes(app, parameters.get("scope", SCOPE)),
            state=msgspec.json.encode(reply).decode(),
            may_skip=is_assured(redirect_uri, is_public=app.is_public),
            returns_to=place_of(redirect_uri),
            form_targets=form_targets(redirect_uri),
        )
        return await self._consents.begin(ticket, session)

    async def complete(self, work: OAuthTransaction, decision: Decision) -> str:
        """The app's redirect URI with a code, or with the person's no."""
        reply = msgspec.json.decode(decision.state, type=Reply)
        state = {"state": reply.state} if reply.state else {}
        if decision.family is None:
            return add_query(reply.redirect_uri, {"error": "access_denied"} | state)
        lifetime = COPY_LIFETIME if reply.redirect_uri == self._page else CODE_LIFETIME
        code = await make_code(
            work,
            self._digester,
            decision.family,
            self._clock() + lifetime,
            redirect_uri=reply.redirect_uri,
            challenge=reply.challenge,
        )
        if reply.template:
            return fill_template(reply.redirect_uri, reply.template, code, reply.state)
        return add_query(reply.redirect_uri, {"code": code} | state)

    async def issue(self, form: Mapping[str, str], headers: Mapping[str, str]) -> TokenIssued:
        """A token for a code, once; raises OAuthError as the token endpoint does.

        It lives as long as the consent: the dialect knows no renewal, and drops a token that is refused.
        """
        app = await self._clients.authenticate(form, headers)
        if app.require_dpop:
            raise InvalidProofError("This app must send a DPoP proof, at the standard endpoint.")
        digest = self._digester.digest(required(form, "code"))
        use = CodeUse(digest, form.get("code_verifier"), form.get("redirect_uri"))
        issued = await self._exchanges.use_code(app, use, FAMILY_LIFETIME)
        subject = pairwise_subject(self._digester, app.client_id, issued.person.user)
        return TokenIssued(subject, app.client_id, issued.access_token)

    def _challenge(self, app: App, parameters: Mapping[str, str]) -> str:
        """Empty for a legacy app that sends none: its secret alone then guards the code."""
        challenge = parameters.get("code_challenge")
        if challenge is None and app.client_id in self._legacy_apps and not app.is_public:
            return ""
        return read_challenge(challenge, parameters.get("code_challenge_method"))


async def ask(
    resources: Mapping[str, Resource], call: Call, token: LiveToken, body: Mapping[str, object], key: str
) -> dict[str, object]:
    """What the call's resource answers, in the dialect's names; NotFoundError when nobody answers it here."""
    resource = resources.get(call.name)
    if resource is None:
        raise NotFoundError("This call is switched off here.", code="not_supported")
    return told(call, await resource(token, body, key))


def _scopes(app: App, text: str) -> tuple[str, ...]:
    names = parse_scope(text)
    asked = [scope for scope in app.scopes if scope not in _OPEN] if SCOPE in names else []
    return allowed_scopes((*asked, *(name for name in names if name not in {SCOPE, *asked})), app.scopes)
