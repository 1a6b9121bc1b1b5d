"""POST /oauth/introspect (RFC 7662)."""

from typing import Any

from litestar import Controller, Request, Response, post
from litestar.di import NamedDependency

from oauth.domain.errors import InvalidClientError
from oauth.domain.parameters import required
from oauth.routes.errors import NO_STORE, oauth_handlers
from oauth.routes.forms import read_form
from oauth.tokens.usecases.introspections import Introspection, Introspections
from oauth.usecases.clients import ClientAuthenticator


class IntrospectionController(Controller):
    """What a token is worth."""

    path = "/oauth/introspect"
    exception_handlers = oauth_handlers

    @post(status_code=200)
    async def introspect(
        self,
        request: Request[Any, Any, Any],
        clients: NamedDependency[ClientAuthenticator],
        introspections: NamedDependency[Introspections],
    ) -> Response[Introspection]:
        """Public apps prove nothing, so they are told nothing (section 2.1)."""
        form = await read_form(request)
        app = await clients.authenticate(form, request.headers)
        if app.is_public:
            raise InvalidClientError("Only apps that authenticate may introspect.")
        token = required(form, "token")
        return Response(await introspections.introspect(app, token), headers=NO_STORE)
