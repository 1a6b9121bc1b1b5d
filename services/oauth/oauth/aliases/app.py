"""The composition root of aliases."""

from oauth.aliases.adapters.nats import GatewayDelegator
from oauth.aliases.adapters.postgres.origins import origins_in
from oauth.aliases.routes.envelopes import COPY_PATH, EnvelopeController, EnvelopePageController
from oauth.aliases.routes.origins import AllowController, AuthController, ExchangeController
from oauth.aliases.usecases import envelopes, origins
from oauth.aliases.usecases.delegations import Delegations
from oauth.aliases.usecases.envelopes import EnvelopeFlow
from oauth.aliases.usecases.origins import KeyFlow
from oauth.parts import Feature, Parts

_DAY_S = 86_400


async def open_aliases(parts: Parts) -> None:
    """Make the parts; both dialects complete consent in their own way."""
    state, settings = parts.state, parts.settings
    keys = KeyFlow(parts.store, origins_in, state.consents, parts.digester, parts.clock)
    legacy_apps = frozenset(name.strip() for name in settings.legacy_apps.split(",") if name.strip())
    signing_in = EnvelopeFlow(
        parts.store,
        state.clients,
        state.consents,
        parts.digester,
        parts.clock,
        legacy_apps,
        settings.issuer + COPY_PATH,
    )
    parts.completions[origins.KIND] = keys.complete
    parts.completions[envelopes.KIND] = signing_in.complete
    if settings.management_tokens:
        delegations = Delegations(parts.store, GatewayDelegator(parts.rpc), parts.clock)
        parts.resources |= {
            "management_token": delegations.get,
            "management_token_reset": delegations.reset,
        }
    state.key_flow = keys
    state.envelope_flow = signing_in
    state.resources = parts.resources
    parts.every(_DAY_S, keys.forget_unused)


ALIASES = Feature(
    controllers=(
        AuthController,
        ExchangeController,
        AllowController,
        EnvelopePageController,
        EnvelopeController,
    ),
    names=("key_flow", "envelope_flow", "resources"),
    open=open_aliases,
)
