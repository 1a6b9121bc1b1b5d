"""POST /oauth/token (RFC 6749 section 3.2)."""

from common.kit.asgi import Receive, Scope, header
from oauth.routes.bearers import dpop_headers
from oauth.routes.errors import NO_STORE, oauth_handlers
from oauth.routes.forms import receive_form
from oauth.routes.front import Answer, Hot, json_answer
from oauth.tokens.usecases.tokens import TokenEndpoint
from oauth.usecases.clients import ClientAuthenticator
from oauth.usecases.proofs import ProofChecker


def hot_tokens(clients: ClientAuthenticator, proofs: ProofChecker, endpoint: TokenEndpoint) -> Hot:
    """What an app holds, for tokens, bound to a key when a DPoP proof comes with the request (RFC 9449
    section 5).
    """

    async def exchange(scope: Scope, receive: Receive) -> Answer:
        form = await receive_form(scope, receive)
        authorization = header(scope["headers"], b"authorization")
        own = {} if authorization is None else {"authorization": authorization.decode("latin-1")}
        app = await clients.authenticate(form, own)
        jkt = await proofs.check(dpop_headers(scope), scope["method"], scope["path"])
        return json_answer(200, await endpoint.exchange(app, form, jkt), NO_STORE)

    return Hot(exchange, oauth_handlers, is_alone=True)
