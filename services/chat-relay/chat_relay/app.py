"""The composition root of the relay: the only place that wires real things."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import cast

from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.types import ASGIApp

from chat_relay.adapters.http_upstream import HttpUpstream
from chat_relay.adapters.nats import NatsBilling, NatsChannelNotices, NatsPriceFeed, NatsUsageSink
from chat_relay.adapters.nats_replays import NatsReplays
from chat_relay.adapters.postgres.channels import PostgresChannels
from chat_relay.adapters.vault import KeyVault
from chat_relay.consumers.channels import ChannelConsumer
from chat_relay.consumers.leases import follow_recalls
from chat_relay.domain.channels import Channel
from chat_relay.domain.prices import Prices
from chat_relay.domain.token_limits import TokenLimits
from chat_relay.routes.channels import ChannelController
from chat_relay.routes.front import Asgi, Front
from chat_relay.settings import Settings
from chat_relay.usecases.channels import Channels, channels_from
from chat_relay.usecases.exchanges import Ledgers
from chat_relay.usecases.leases import Leases
from chat_relay.usecases.models import Models
from chat_relay.usecases.relays import Relay
from chat_relay.usecases.replays import Replays
from chat_relay.usecases.usage import UsagePublisher
from common.contracts.errors import InvalidRequestError, UnavailableError
from common.contracts.streams import INTAKE
from common.kit.bootstrap import BootstrapError, load_bootstrap
from common.kit.bus import Bus
from common.kit.db import Database
from common.kit.plugin import ServicePlugin
from common.kit.principal import PrincipalSigner
from common.kit.rpc import RpcClient
from common.kit.tasks import end_tasks


class ChatRelay:
    """The parts of one replica. Those that need a connection are made in `run`, in the server's loop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.plugin = ServicePlugin("chat-relay", settings)
        self.signer = PrincipalSigner(settings.principal_keys)
        self.vault = KeyVault(settings.secret_key)
        self.bootstrap_channels = _bootstrap_channels(settings.bootstrap)
        self.prices = Prices()
        self.channels: Channels | None = None
        self.usage: UsagePublisher | None = None
        self.leases: Leases | None = None

    @asynccontextmanager
    async def run(self, app: Litestar) -> AsyncIterator[None]:
        """Open every connection, apply the bootstrap file, serve; then flush usage and return leases."""
        settings = self.settings
        async with AsyncExitStack() as stack:
            database = Database(settings.database_url)
            stack.push_async_callback(database.close)
            bus = await Bus.connect(settings.nats_url, f"chat-relay-{settings.replica}")
            stack.push_async_callback(bus.close)
            await bus.ensure_streams([INTAKE])
            self.plugin.checks |= {"postgres": database.ping, "nats": bus.ping, "prices": self._check_prices}
            channels = Channels(PostgresChannels(database, self.vault), NatsChannelNotices(bus))
            self.channels = channels
            await channels.put_channels(self.bootstrap_channels)
            await channels.reload()

            upstream = HttpUpstream(
                settings.upstream_connect_timeout_s,
                settings.upstream_first_byte_timeout_s,
                settings.upstream_read_timeout_s,
            )
            stack.push_async_callback(upstream.close)
            rpc = RpcClient(bus, self.plugin.telemetry)
            leases = Leases(NatsBilling(rpc), settings.replica, time.monotonic, settings.lease_idle_s)
            stack.push_async_callback(leases.close, settings.drain_s)
            self.leases = leases
            usage = UsagePublisher(
                NatsUsageSink(bus, settings.replica), settings.replica, settings.usage_buffer
            )
            stack.push_async_callback(usage.flush, settings.drain_s)
            self.usage = usage

            consumer = ChannelConsumer(bus, channels, settings.channels_reload_s)
            await consumer.start()
            await follow_recalls(bus, leases)
            stack.push_async_callback(end_tasks, asyncio.create_task(consumer.run(), name="channels"))
            feed = NatsPriceFeed(bus, self.prices.load)
            stack.push_async_callback(end_tasks, asyncio.create_task(feed.run(), name="prices"))

            relay = Relay(
                channels,
                self.prices,
                leases,
                Ledgers(usage, TokenLimits()),
                upstream,
                settings.upstream_attempts,
            )
            front = Front(
                relay,
                Replays(relay, NatsReplays(bus)),
                Models(channels, self.prices),
                self.signer,
                self.plugin.telemetry,
                settings.max_body_mib * 2**20,
                cast("Asgi", app.asgi_handler),
            )
            app.asgi_handler = cast("ASGIApp", front)
            yield

    async def _check_prices(self) -> None:
        if not self.prices.loaded:
            raise UnavailableError("No price book yet.")


def create_app(settings: Settings) -> Litestar:
    """The service. The front replaces Litestar's own entrance while the service runs, so that the hot paths
    never pay for its routing.
    """
    relay = ChatRelay(settings)
    return Litestar(
        route_handlers=[ChannelController],
        dependencies={"channels": Provide(lambda: relay.channels, sync_to_thread=False)},
        plugins=[relay.plugin],
        lifespan=[relay.run],
        state=State({"signer": relay.signer, "relay": relay}),
        openapi_config=OpenAPIConfig(
            title="Tollway channels", version="1", path="/api/openapi", render_plugins=[JsonRenderPlugin()]
        ),
    )


def _bootstrap_channels(path: str) -> list[Channel]:
    """The file's channels that are this service's; BootstrapError when one cannot be."""
    if not path:
        return []
    try:
        bootstrap = load_bootstrap(Path(path), secrets_of=("channels",))
        return channels_from(bootstrap.channels, bootstrap.costs)
    except InvalidRequestError as error:
        raise BootstrapError(f"{path}: {error.message}") from None
