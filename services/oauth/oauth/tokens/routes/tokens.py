"""POST /oauth/token (RFC 6749 section 3.2)."""

from typing import Any

from litestar import Controller, Request, Response, post
from litestar.di import NamedDependency

from oauth.routes.bearers import dpop_headers
from oauth.routes.errors import NO_STORE, oauth_handlers
from oauth.routes.forms import read_form
from oauth.tokens.usecases.tokens import TokenAnswer, TokenEndpoint
from oauth.usecases.clients import ClientAuthenticator
from oauth.usecases.proofs import ProofChecker


class TokenController(Controller):
    """What an app holds, for tokens."""

    path = "/oauth/token"
    exception_handlers = oauth_handlers

    @post(status_code=200)
    async def exchange(
        self,
        request: Request[Any, Any, Any],
        clients: NamedDependency[ClientAuthenticator],
        proofs: NamedDependency[ProofChecker],
        token_endpoint: NamedDependency[TokenEndpoint],
    ) -> Response[TokenAnswer]:
        """Tokens, bound to a key when a DPoP proof comes with the request (RFC 9449 section 5)."""
        form = await read_form(request)
        app = await clients.authenticate(form, request.headers)
        jkt = await proofs.check(dpop_headers(request), request.method, request.url.path)
        return Response(await token_endpoint.exchange(app, form, jkt), headers=NO_STORE)
