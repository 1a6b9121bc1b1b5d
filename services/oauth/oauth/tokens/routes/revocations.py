"""POST /oauth/revoke (RFC 7009)."""

from typing import Any

from litestar import Controller, Request, Response, post
from litestar.di import NamedDependency

from oauth.domain.parameters import required
from oauth.routes.errors import NO_STORE, oauth_handlers
from oauth.routes.forms import read_form
from oauth.tokens.usecases.revocations import Revocations
from oauth.usecases.clients import ClientAuthenticator


class RevocationController(Controller):
    """The end of a token."""

    path = "/oauth/revoke"
    exception_handlers = oauth_handlers

    @post(status_code=200)
    async def revoke(
        self,
        request: Request[Any, Any, Any],
        clients: NamedDependency[ClientAuthenticator],
        revocations: NamedDependency[Revocations],
    ) -> Response[bytes]:
        """200 whether there was such a token or not (section 2.2)."""
        form = await read_form(request)
        app = await clients.authenticate(form, request.headers)
        await revocations.revoke(app, required(form, "token"))
        return Response(b"", headers=NO_STORE)
