"""The composition root of registry."""

from common.contracts.streams import IDENTITY
from oauth.parts import Feature, Parts
from oauth.registry.adapters.nats import BillingLedger, GatewayDirectory
from oauth.registry.consumers.people import follow_users
from oauth.registry.routes.apps import AppController
from oauth.registry.routes.connections import ConnectionController
from oauth.registry.routes.grants import GrantController, ReceivedController
from oauth.registry.usecases.apps import Registrar, close_management
from oauth.registry.usecases.bootstrap import apply_apps, read_apps
from oauth.registry.usecases.grants import GrantDesk


async def open_registry(parts: Parts) -> None:
    """Make the parts, apply the bootstrap file, follow the gateway's people."""
    settings, store, clock = parts.settings, parts.store, parts.clock
    parts.state.registrar = Registrar(store, parts.digester, clock, settings.management_tokens)
    parts.state.grant_desk = GrantDesk(store, clock, BillingLedger(parts.rpc))
    declared = read_apps(parts.bootstrap.oauth_apps, parts.digester, clock(), settings.management_tokens)
    await apply_apps(store, declared)
    if not settings.management_tokens:
        await close_management(store)
    await parts.bus.ensure_streams([IDENTITY])
    people = follow_users(parts.bus, store, GatewayDirectory(parts.rpc))
    await people.start()
    parts.stack.push_async_callback(people.stop)


REGISTRY = Feature(
    controllers=(AppController, GrantController, ReceivedController, ConnectionController),
    names=("registrar", "grant_desk"),
    open=open_registry,
)
