"""The authorization endpoint: what an app asks in a browser, and the code that answers it."""

from collections.abc import Mapping

import msgspec

from common.contracts.errors import ServiceError
from common.contracts.identity import SessionFound
from oauth.authorization.domain.requests import AuthorizationRequest, check_pushed, read_request
from oauth.authorization.usecases.pushed import PushedRequests
from oauth.domain.apps import App
from oauth.domain.consents import Ticket
from oauth.domain.errors import AccessDeniedError, InvalidRequestError, OAuthError
from oauth.domain.parameters import state_of
from oauth.domain.ports import Clock, Decision, IdTokens, OAuthTransaction
from oauth.domain.redirects import answer, find_redirect, form_targets, is_assured, place_of
from oauth.domain.tokens import CODE_LIFETIME, Digester
from oauth.usecases.clients import ClientAuthenticator
from oauth.usecases.codes import make_code
from oauth.usecases.consents import Consents

KIND = "code"
"""Of tickets that are completed by a code."""


class Reply(msgspec.Struct, frozen=True):
    """What the answer needs once the person has decided; the `state` of a ticket."""

    redirect_uri: str
    state: str
    challenge: str
    dpop_jkt: str


class Authorizations:
    """The use-cases of the authorization endpoint."""

    def __init__(
        self,
        clients: ClientAuthenticator,
        pushed: PushedRequests,
        consents: Consents,
        digester: Digester,
        clock: Clock,
        issuer: str,
        id_tokens: IdTokens | None = None,
    ) -> None:
        self._clients = clients
        self._pushed = pushed
        self._consents = consents
        self._digester = digester
        self._clock = clock
        self._issuer = issuer
        self._id_tokens = id_tokens

    async def authorize(
        self, parameters: Mapping[str, str], session: SessionFound | None, fault: OAuthError | None = None
    ) -> str:
        """Where to send the browser: to the page, or to the app with a code or an error.

        Raises an OAuthError where the app or its redirect URI is not sure: that is told on a page, and nobody
        is sent anywhere (RFC 6749 section 4.1.2.1). `fault` is what was wrong with the parameters as such;
        `parameters` are then those that are not.
        """
        app = await self._clients.identify(parameters)
        was_pushed = "request_uri" in parameters
        if was_pushed and fault is None:
            parameters = await self._pushed.take(app, parameters["request_uri"])
        redirect_uri = find_redirect(parameters.get("redirect_uri"), app.redirect_uris)
        if redirect_uri is None:
            raise InvalidRequestError("The redirect_uri is not one of the app.", param="redirect_uri")
        state = ""
        try:
            state = state_of(parameters)
            if fault is not None:
                raise fault
            check_pushed(app, was_pushed=was_pushed)
            asked = read_request(app, parameters, self._clock())
            reply = Reply(redirect_uri, state, asked.challenge, asked.dpop_jkt)
            ticket = self._ticket(app, asked, reply, session, await self._subject(app, asked.id_token_hint))
            return await self._consents.begin(ticket, session, silent="none" in asked.prompt)
        except ServiceError as error:
            return self._refuse(redirect_uri, state, error)

    async def complete(self, work: OAuthTransaction, decision: Decision) -> str:
        """The app's redirect URI with a code for what was allowed, or with the person's no."""
        reply = msgspec.json.decode(decision.state, type=Reply)
        if decision.family is None:
            refusal = decision.refusal or AccessDeniedError("The person said no.")
            return self._refuse(reply.redirect_uri, reply.state, refusal)
        code = await make_code(
            work,
            self._digester,
            decision.family,
            self._clock() + CODE_LIFETIME,
            redirect_uri=reply.redirect_uri,
            challenge=reply.challenge,
            dpop_jkt=reply.dpop_jkt,
        )
        return answer(reply.redirect_uri, self._issuer, reply.state, code=code)

    async def _subject(self, app: App, hint: str) -> str:
        """Whom the app expects, by its own name for them; empty for anybody."""
        return await self._id_tokens.read(app, hint) if hint and self._id_tokens is not None else ""

    def _ticket(
        self,
        app: App,
        asked: AuthorizationRequest,
        reply: Reply,
        session: SessionFound | None,
        subject: str,
    ) -> Ticket:
        must_sign_in = bool({"login", "select_account"} & asked.prompt)
        return Ticket(
            kind=KIND,
            app=app.id,
            scopes=asked.scopes,
            state=msgspec.json.encode(reply).decode(),
            asked=asked.asked,
            nonce=asked.nonce,
            may_skip="consent" not in asked.prompt
            and is_assured(reply.redirect_uri, is_public=app.is_public),
            max_age_s=0 if must_sign_in else asked.max_age_s,
            asked_at=self._clock(),
            session_before="" if session is None else session.session,
            subject=subject,
            login_hint=asked.login_hint,
            returns_to=place_of(reply.redirect_uri),
            form_targets=form_targets(reply.redirect_uri),
        )

    def _refuse(self, redirect_uri: str, state: str, error: ServiceError) -> str:
        code = error.error_code
        if not isinstance(error, OAuthError):
            code = "temporarily_unavailable" if error.error_status == 503 else "server_error"
        return answer(redirect_uri, self._issuer, state, error=code, error_description=error.message)
