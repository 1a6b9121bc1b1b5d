"""/oauth/authorize and /oauth/par: apps ask."""

from typing import Any
from urllib.parse import parse_qsl

from litestar import Controller, Request, Response, get, post
from litestar.di import NamedDependency

from oauth.authorization.usecases.authorizations import Authorizations
from oauth.authorization.usecases.pushed import PUSHED_LIFETIME, PushedRequests
from oauth.domain.errors import InvalidRequestError
from oauth.domain.ports import Browsers
from oauth.routes.bearers import dpop_headers
from oauth.routes.errors import NO_STORE, oauth_handlers
from oauth.routes.forms import MAX_FORM_BYTES, parse_parameters, read_form
from oauth.routes.pages.errors import page_handlers
from oauth.routes.pages.sessions import SessionCookie, redirect, signed_in
from oauth.usecases.clients import ClientAuthenticator
from oauth.usecases.proofs import ProofChecker

AUTHORIZE_PATH = "/oauth/authorize"
PAR_PATH = "/oauth/par"


class AuthorizationController(Controller):
    """The authorization endpoint; both methods mean the same (OpenID Connect Core section 3.1.2.1)."""

    path = AUTHORIZE_PATH
    exception_handlers = page_handlers

    @get()
    async def show(
        self,
        request: Request[Any, Any, Any],
        authorizations: NamedDependency[Authorizations],
        browsers: NamedDependency[Browsers],
        session_cookie: NamedDependency[SessionCookie],
    ) -> Response[str]:
        """303 to the page or to the app; an error page where the app or its address is not sure."""
        raw: bytes = request.scope["query_string"]
        return await _authorize(request, raw, authorizations, browsers, session_cookie)

    @post()
    async def ask(
        self,
        request: Request[Any, Any, Any],
        authorizations: NamedDependency[Authorizations],
        browsers: NamedDependency[Browsers],
        session_cookie: NamedDependency[SessionCookie],
    ) -> Response[str]:
        """As `show`, with the parameters in a form."""
        raw = await request.body()
        return await _authorize(request, raw, authorizations, browsers, session_cookie)


class PushedController(Controller):
    """Where apps push what they will ask."""

    path = PAR_PATH
    exception_handlers = oauth_handlers

    @post()
    async def push(
        self,
        request: Request[Any, Any, Any],
        clients: NamedDependency[ClientAuthenticator],
        proofs: NamedDependency[ProofChecker],
        pushed_requests: NamedDependency[PushedRequests],
    ) -> Response[dict[str, object]]:
        """201 and a reference that counts once, for 60 s, for this app (RFC 9126 section 2.2)."""
        form = await read_form(request)
        app = await clients.authenticate(form, request.headers)
        jkt = await proofs.check(dpop_headers(request.scope), "POST", PAR_PATH)
        request_uri = await pushed_requests.push(app, form, jkt)
        body: dict[str, object] = {
            "request_uri": request_uri,
            "expires_in": int(PUSHED_LIFETIME.total_seconds()),
        }
        return Response(body, status_code=201, headers=NO_STORE)


async def _authorize(
    request: Request[Any, Any, Any],
    raw: bytes,
    authorizations: Authorizations,
    browsers: Browsers,
    session_cookie: SessionCookie,
) -> Response[str]:
    if len(raw) > MAX_FORM_BYTES:
        raise InvalidRequestError("The request is too large.", status=413)
    fault = None
    try:
        parameters = parse_parameters(raw)
    except InvalidRequestError as error:
        fault, parameters = error, _sure_parameters(raw)
    session = await signed_in(request, browsers, session_cookie)
    return redirect(await authorizations.authorize(parameters, session, fault))


def _sure_parameters(raw: bytes) -> dict[str, str]:
    """Those that stand once and are printable: enough to tell the app of a fault in the others."""
    try:
        pairs = parse_qsl(raw.decode("ascii", "replace"), max_num_fields=100)
    except ValueError:
        return {}
    names = [name for name, _ in pairs]
    return {
        name: value
        for name, value in pairs
        if names.count(name) == 1 and value.isprintable() and "\ufffd" not in value
    }
