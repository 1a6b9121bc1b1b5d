"""The composition root of the gateway: the only place that wires real things."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from litestar import Litestar
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.types import ASGIApp

from common.contracts.bootstrap import Bootstrap
from common.contracts.errors import ServiceError
from common.contracts.identity import IdentityEvent
from common.contracts.plans import PlanBook
from common.contracts.streams import BILLING, IDENTITY, OAUTH
from common.kit.bootstrap import load_bootstrap
from common.kit.bus import Bus
from common.kit.db import Database
from common.kit.outbox import OutboxPublisher
from common.kit.plugin import ServicePlugin
from common.kit.principal import PrincipalSigner
from common.kit.rpc import RpcClient, RpcServer
from common.kit.tasks import end_tasks
from gateway.adapters.generated_keys import GeneratedKeysFile
from gateway.adapters.http_services import HttpServices
from gateway.adapters.nats import NatsNotices
from gateway.adapters.nats_plans import NatsPlanFeed
from gateway.adapters.nats_tokens import NatsTokens
from gateway.adapters.passwords import Argon2Passwords
from gateway.adapters.postgres.identity import PostgresIdentity
from gateway.adapters.postgres.keys import PostgresKeyFinder
from gateway.consumers.delegations import delegation_consumer, serve_delegations
from gateway.consumers.identity import apply_event, keep_current
from gateway.consumers.memberships import membership_consumer
from gateway.consumers.sessions import serve_sessions
from gateway.consumers.tokens import keep_tokens_current
from gateway.consumers.users import serve_users
from gateway.domain.addresses import parse_networks
from gateway.domain.key_cache import KeyCache
from gateway.domain.keys import KeyHasher
from gateway.domain.limits import Limiter
from gateway.domain.plans import Plans
from gateway.domain.proofs import Proofs
from gateway.domain.sessions import LIFETIME, SessionTokens
from gateway.routes.callers import provide_caller
from gateway.routes.front import Admission, Asgi, Front
from gateway.routes.groups import GroupController
from gateway.routes.keys import KeyController
from gateway.routes.sign_in import CookieNames, SignInController
from gateway.routes.users import UserController, get_me
from gateway.settings import Settings
from gateway.usecases.authentication import Authenticator, Finders
from gateway.usecases.bootstrap import Applier, apply_bootstrap, check_bootstrap
from gateway.usecases.sessions import Clock, Sessions

_LOG = logging.getLogger(__name__)
_DAY_S = 86_400
_MAX_BODY_BYTES = 1024 * 1024


class Gateway:
    """The parts that live as long as the service; those that need NATS are made in `run`."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings = settings
        self.plugin = ServicePlugin("gateway", settings)
        self.database = Database(settings.database_url)
        self.hasher = KeyHasher(settings.key_pepper)
        self.passwords = Argon2Passwords()
        self.tokens = SessionTokens(self.hasher)
        self.cache = KeyCache(time.monotonic)
        self.identity = PostgresIdentity(self.database, self.committed)
        self.sessions = Sessions(self.identity, self.passwords, self.tokens, clock)
        self.access_tokens = NatsTokens()
        self.services = HttpServices(
            {
                "chat-relay": settings.chat_relay_url,
                "billing": settings.billing_url,
                "media-tasks": settings.media_tasks_url,
                "oauth": settings.oauth_url,
            },
            settings.service_connections,
        )
        self.bootstrap = load_bootstrap(Path(settings.bootstrap)) if settings.bootstrap else Bootstrap()
        check_bootstrap(self.hasher, self.bootstrap)
        self.clock = clock
        self.plans = Plans(self.bootstrap.plans)
        self.notices: NatsNotices | None = None
        self.outbox: OutboxPublisher | None = None

    def committed(self, events: Sequence[IdentityEvent]) -> None:
        """This replica need not wait for its own events, nor for the publisher's next look."""
        for event in events:
            apply_event(self.cache, event)
        if self.outbox is not None:
            self.outbox.notify()

    def load_plans(self, book: PlanBook) -> None:
        """Billing's plans are in force from now on; cached keys carry what the old ones gave."""
        if self.plans.replace(book):
            self.cache.clear()

    @asynccontextmanager
    async def run(self, _app: Litestar) -> AsyncIterator[None]:
        """Open every connection, apply the bootstrap file, serve, and close in reverse."""
        bus = await Bus.connect(self.settings.nats_url, f"gateway-{self.settings.replica}")
        try:
            await bus.ensure_streams([IDENTITY, BILLING, OAUTH])
            self.notices = NatsNotices(bus)
            self.outbox = OutboxPublisher(self.database, bus, "gateway")
            self.access_tokens.rpc = RpcClient(bus, self.plugin.telemetry)
            rpc = RpcServer(bus, "gateway", self.plugin.telemetry)
            serve_users(rpc, self.identity)
            serve_delegations(rpc, self.identity, self.hasher)
            serve_sessions(rpc, self.sessions, self.tokens)
            self.plugin.checks |= {"postgres": self.database.ping, "nats": bus.ping}
            await keep_current(bus, self.cache)
            await keep_tokens_current(bus, self.cache)
            feed = NatsPlanFeed(bus, self.load_plans)
            await feed.read()
            consumers = membership_consumer(bus, self.identity), delegation_consumer(bus, self.identity)
            generated = GeneratedKeysFile(self.settings.generated_keys_file)
            applier = Applier(self.identity, self.passwords, self.hasher, generated, self.notices)
            await apply_bootstrap(applier, self.bootstrap)
            async with self.services:
                await self.outbox.start()
                await rpc.start()
                for consumer in consumers:
                    await consumer.start()
                tasks = asyncio.create_task(self._tidy()), asyncio.create_task(feed.run())
                yield
                await end_tasks(*tasks)
                for consumer in consumers:
                    await consumer.stop()
                await rpc.stop()
                await self.outbox.stop()
        finally:
            await bus.close()
            await self.database.close()

    async def _tidy(self) -> None:
        while True:
            try:
                await self.sessions.forget_old(LIFETIME)
            except ServiceError as error:
                _LOG.warning("old sessions stay for now: %s", error.message)
            await asyncio.sleep(_DAY_S)

    def front(self, app: Litestar) -> Front:
        """The front, with the Litestar application behind it for the management routes."""
        finder = PostgresKeyFinder(self.database, self.plans)
        return Front(
            authenticator=Authenticator(
                Finders(finder, finder, self.access_tokens),
                self.cache,
                self.hasher,
                self.settings.admin_key,
                lambda: self.clock().timestamp(),
            ),
            proofs=Proofs(self.settings.public_url, lambda: self.clock().timestamp()),
            admission=Admission(
                keys=Limiter(time.monotonic),
                public=Limiter(time.monotonic, who="Your address"),
                public_rpm=self.settings.public_rpm,
                trusted_proxies=parse_networks(self.settings.trusted_proxies.split(",")),
            ),
            signer=PrincipalSigner(self.settings.principal_keys),
            services=self.services,
            telemetry=self.plugin.telemetry,
            management=cast("Asgi", app.asgi_handler),
        )


def utc_now() -> datetime:
    """The wall clock, aware."""
    return datetime.now(UTC)


def create_app(settings: Settings, clock: Clock = utc_now) -> Litestar:
    """The service; BootstrapError when the bootstrap file cannot be used.

    The front replaces Litestar's own entrance: it authenticates every request, and a request for another
    service never pays for Litestar's routing (~20 us).
    """
    gateway = Gateway(settings, clock)
    cookie_names = CookieNames(settings.public_url.startswith("https://"))
    app = Litestar(
        route_handlers=[UserController, KeyController, GroupController, SignInController, get_me],
        dependencies={
            "caller": Provide(provide_caller, sync_to_thread=False),
            "identity": Provide(lambda: gateway.identity, sync_to_thread=False),
            "passwords": Provide(lambda: gateway.passwords, sync_to_thread=False),
            "hasher": Provide(lambda: gateway.hasher, sync_to_thread=False),
            "notices": Provide(lambda: gateway.notices, sync_to_thread=False),
            "sessions": Provide(lambda: gateway.sessions, sync_to_thread=False),
            "tokens": Provide(lambda: gateway.tokens, sync_to_thread=False),
            "plans": Provide(lambda: gateway.plans, sync_to_thread=False),
            "clock": Provide(lambda: gateway.clock, sync_to_thread=False),
            "cookie_names": Provide(lambda: cookie_names, sync_to_thread=False),
        },
        plugins=[gateway.plugin],
        lifespan=[gateway.run],
        openapi_config=OpenAPIConfig(
            title="Tollway management API",
            version="1",
            path="/api/openapi",
            render_plugins=[JsonRenderPlugin()],
        ),
        request_max_body_size=_MAX_BODY_BYTES,
    )
    app.asgi_handler = cast("ASGIApp", gateway.front(app))
    return app
