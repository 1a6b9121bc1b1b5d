"""The composition root of authorization."""

from oauth.authorization.domain.requests import PROMPTS
from oauth.authorization.routes.authorizations import (
    AUTHORIZE_PATH,
    PAR_PATH,
    AuthorizationController,
    PushedController,
)
from oauth.authorization.routes.consents import ConsentController
from oauth.authorization.usecases.authorizations import KIND, Authorizations
from oauth.authorization.usecases.pushed import PushedRequests
from oauth.domain.details import CHARGE_USER
from oauth.parts import Feature, Parts
from oauth.usecases.consents import Consents


async def open_authorization(parts: Parts) -> None:
    """Make the parts; say in the metadata what works (RFC 8414, 9126, 9207, 9396)."""
    state, issuer = parts.state, parts.settings.issuer
    consents: Consents = state.consents
    pushed = PushedRequests(parts.store, parts.digester, parts.clock)
    authorizations = Authorizations(
        state.clients, pushed, consents, parts.digester, parts.clock, issuer, parts.id_tokens
    )
    parts.completions[KIND] = authorizations.complete
    state.pushed_requests = pushed
    state.authorizations = authorizations
    parts.metadata |= {
        "authorization_endpoint": issuer + AUTHORIZE_PATH,
        "pushed_authorization_request_endpoint": issuer + PAR_PATH,
        "require_pushed_authorization_requests": False,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        "authorization_details_types_supported": [CHARGE_USER],
        "prompt_values_supported": list(PROMPTS),
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
        "claims_parameter_supported": False,
    }


AUTHORIZATION = Feature(
    controllers=(AuthorizationController, PushedController, ConsentController),
    names=("pushed_requests", "authorizations"),
    open=open_authorization,
)
