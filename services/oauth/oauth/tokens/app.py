"""The composition root of tokens."""

from oauth.domain.apps import AUTH_METHODS
from oauth.domain.scopes import SCOPES
from oauth.domain.signatures import ALGORITHMS
from oauth.parts import Feature, Parts
from oauth.tokens.consumers.checks import add_token_methods
from oauth.tokens.routes.introspections import IntrospectionController
from oauth.tokens.routes.metadata import MetadataController
from oauth.tokens.routes.revocations import RevocationController
from oauth.tokens.routes.tokens import hot_tokens
from oauth.tokens.usecases.checks import TokenChecks
from oauth.tokens.usecases.introspections import Introspections
from oauth.tokens.usecases.revocations import Revocations
from oauth.tokens.usecases.tokens import CODE, REFRESH, TokenEndpoint

_PRUNE_EVERY_S = 60


async def open_tokens(parts: Parts) -> None:
    """Make the use-cases, answer other services, forget what has ended."""
    store, digester, clock, issuer = parts.store, parts.digester, parts.clock, parts.settings.issuer
    state = parts.state
    endpoint = TokenEndpoint(store, digester, clock, parts.grant_types, lambda: parts.id_tokens)
    state.token_endpoint = endpoint
    parts.hot["/oauth/token"] = hot_tokens(state.clients, state.proofs, endpoint)
    state.revocations = Revocations(store, digester, clock)
    state.introspections = Introspections(store, digester, clock, issuer)
    state.metadata = parts.metadata
    add_token_methods(parts.server, TokenChecks(store, digester, clock))
    parts.metadata |= _metadata(issuer, [CODE, REFRESH, *parts.grant_types])
    off = () if parts.settings.management_tokens else ("management_token",)
    parts.metadata["scopes_supported"] = [scope for scope in SCOPES if scope not in off]

    async def prune() -> None:
        await store.prune(clock())

    parts.every(_PRUNE_EVERY_S, prune)


def _metadata(issuer: str, grant_types: list[str]) -> dict[str, object]:
    confidential = [method for method in AUTH_METHODS if method != "none"]
    methods = {
        "token": list(AUTH_METHODS),
        "revocation": list(AUTH_METHODS),
        "introspection": confidential,
    }
    told: dict[str, object] = {
        "issuer": issuer,
        "token_endpoint": f"{issuer}/oauth/token",
        "revocation_endpoint": f"{issuer}/oauth/revoke",
        "introspection_endpoint": f"{issuer}/oauth/introspect",
        "grant_types_supported": grant_types,
        "dpop_signing_alg_values_supported": list(ALGORITHMS),
    }
    for endpoint, supported in methods.items():
        told[f"{endpoint}_endpoint_auth_methods_supported"] = supported
        told[f"{endpoint}_endpoint_auth_signing_alg_values_supported"] = list(ALGORITHMS)
    return told


TOKENS = Feature(
    controllers=(RevocationController, IntrospectionController, MetadataController),
    names=("revocations", "introspections", "metadata"),
    open=open_tokens,
)
