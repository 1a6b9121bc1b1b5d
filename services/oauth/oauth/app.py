"""The composition root of the OAuth service."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import MethodNotAllowedException, NotFoundException
from litestar.types import ASGIApp

from common.contracts.bootstrap import Bootstrap
from common.contracts.streams import OAUTH
from common.kit.bootstrap import load_bootstrap
from common.kit.bus import Bus
from common.kit.db import Database
from common.kit.outbox import OutboxPublisher
from common.kit.plugin import ServicePlugin
from common.kit.principal import PrincipalSigner
from common.kit.rpc import RpcClient, RpcServer
from oauth.adapters.nats import GatewayBrowsers
from oauth.adapters.postgres.store import PLANNER, PostgresStore
from oauth.adapters.vault import Vault
from oauth.aliases.app import ALIASES
from oauth.authorization.app import AUTHORIZATION
from oauth.charges.app import CHARGES
from oauth.devices.app import DEVICES
from oauth.domain.ports import Clock, Completion
from oauth.domain.tokens import Digester
from oauth.identity.app import IDENTITY
from oauth.parts import Feature, Parts
from oauth.registry.app import REGISTRY
from oauth.routes.errors import unrouted
from oauth.routes.front import Asgi, Front
from oauth.routes.pages.sessions import SessionCookie
from oauth.settings import Settings
from oauth.tokens.app import TOKENS
from oauth.usecases.bearers import Bearers
from oauth.usecases.clients import ClientAuthenticator
from oauth.usecases.consents import Consents
from oauth.usecases.proofs import ProofChecker

FEATURES: tuple[Feature, ...] = (REGISTRY, IDENTITY, AUTHORIZATION, DEVICES, TOKENS, CHARGES, ALIASES)
"""Tokens after those that add grant types, aliases last: they stand on all."""
CORE_NAMES = ("clients", "proofs", "bearers", "consents", "browsers", "session_cookie")
"""What any handler may ask for by name: ClientAuthenticator, ProofChecker, Bearers, Consents, Browsers,
SessionCookie.
"""


def utc_now() -> datetime:
    """The wall clock, aware."""
    return datetime.now(UTC)


def create_app(settings: Settings, clock: Clock = utc_now) -> Litestar:
    """The service; BootstrapError when the bootstrap file cannot be applied."""
    plugin = ServicePlugin("oauth", settings)
    bootstrap = Bootstrap()
    if settings.bootstrap:
        bootstrap = load_bootstrap(Path(settings.bootstrap), secrets_of=("oauth_apps",))

    @asynccontextmanager
    async def running(app: Litestar) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            parts = await _connect(app.state, plugin, settings, clock, bootstrap, stack)
            for feature in FEATURES:
                await feature.open(parts)
            front = Front(parts.hot, app.exception_handlers, cast("Asgi", app.asgi_handler))
            app.asgi_handler = cast("ASGIApp", front)
            await parts.server.start()
            stack.push_async_callback(parts.server.stop)
            yield

    names = [*CORE_NAMES, *(name for feature in FEATURES for name in feature.names)]
    return Litestar(
        route_handlers=[controller for feature in FEATURES for controller in feature.controllers],
        plugins=[plugin],
        lifespan=[running],
        dependencies={name: _from_state(name) for name in names},
        exception_handlers={NotFoundException: unrouted, MethodNotAllowedException: unrouted},
        openapi_config=None,
    )


async def _connect(
    state: State,
    plugin: ServicePlugin,
    settings: Settings,
    clock: Clock,
    bootstrap: Bootstrap,
    stack: AsyncExitStack,
) -> Parts:
    """Connect, and start the outbox, in the order in which `stack` takes down again."""
    database = Database(settings.database_url, settings=PLANNER)
    stack.push_async_callback(database.close)
    bus = await Bus.connect(settings.nats_url, f"oauth-{settings.replica}")
    stack.push_async_callback(bus.close)
    plugin.checks |= {"postgres": database.ping, "nats": bus.ping}
    await bus.ensure_streams([OAUTH])
    outbox = OutboxPublisher(database, bus, "oauth")
    await outbox.start()
    stack.push_async_callback(outbox.stop)
    state.signer = PrincipalSigner(settings.principal_keys)
    rpc = RpcClient(bus, plugin.telemetry)
    store, digester = PostgresStore(database, outbox.notify), Digester(settings.token_pepper)
    state.clients = ClientAuthenticator(store, digester, clock, settings.issuer)
    state.proofs = ProofChecker(store, digester, clock, settings.issuer)
    state.bearers = Bearers(store, digester, clock, state.proofs)
    completions: dict[str, Completion] = {}
    vault = Vault(settings.secret_key, "tickets")
    state.consents = Consents(store, vault, digester, clock, completions)
    state.browsers = GatewayBrowsers(rpc)
    state.session_cookie = SessionCookie(settings.issuer)
    return Parts(
        settings=settings,
        clock=clock,
        bootstrap=bootstrap,
        database=database,
        store=store,
        digester=digester,
        browsers=state.browsers,
        bus=bus,
        rpc=rpc,
        server=RpcServer(bus, "oauth", plugin.telemetry),
        notify=outbox.notify,
        plugin=plugin,
        state=state,
        stack=stack,
        completions=completions,
    )


def _from_state(name: str) -> Provide:
    def provide(state: State) -> object:
        return state[name]

    return Provide(provide, sync_to_thread=False)
