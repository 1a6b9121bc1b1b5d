"""The composition root of billing."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide

from billing.adapters.list_prices import list_source, read_list_prices
from billing.adapters.nats import NatsDeadLetters, NatsPriceShelf, NatsUsageBacklog, account_finder
from billing.adapters.postgres.audits import PostgresAuditor
from billing.adapters.postgres.leases import PostgresLeases
from billing.adapters.postgres.ledger import PostgresLedger
from billing.adapters.postgres.prices import PostgresPrices
from billing.adapters.postgres.usage import PostgresUsage
from billing.adapters.postgres.wallets import PostgresWallets
from billing.consumers.leases import add_lease_methods
from billing.consumers.usage import DURABLE, UsageConsumer
from billing.domain.ports import Clock, LeaseKeeper
from billing.domain.prices import FILE_SOURCE, price_from_spec
from billing.routes.audits import AuditController
from billing.routes.prices import PriceController
from billing.routes.principals import provide_principal, require_principal
from billing.routes.topups import TopupController
from billing.routes.usage import UsageController
from billing.routes.wallets import WalletController
from billing.settings import Settings
from billing.usecases.leases import Leases, LeaseSweeper, sweep_leases
from billing.usecases.prices import apply_prices, publish_book, seed_prices
from billing.usecases.topups import post_grants
from billing.usecases.usage import UsageCharger
from billing.usecases.writer import LedgerWriter
from common.contracts.errors import InvalidRequestError
from common.contracts.prices import Price
from common.contracts.streams import INTAKE, STREAMS
from common.kit.bootstrap import BootstrapError, load_bootstrap
from common.kit.bus import Bus
from common.kit.db import Database
from common.kit.money import parse_usd
from common.kit.outbox import OutboxPublisher
from common.kit.plugin import ServicePlugin
from common.kit.principal import PrincipalSigner
from common.kit.rpc import RpcClient, RpcServer
from common.kit.tasks import end_tasks

_LOG = logging.getLogger(__name__)
INBOX_DAYS = 14
"""Longer than INTAKE keeps a message, so that none can come back unknown."""
MONTHS_AHEAD = 3
_DAY_S = 86_400
_RETRY_S = 5
_INJECTED = ("writer", "wallets", "usage", "prices", "shelf", "auditor")


def utc_now() -> datetime:
    """The wall clock, aware."""
    return datetime.now(UTC)


def create_app(settings: Settings, clock: Clock = utc_now) -> Litestar:
    """The service; BootstrapError when the bootstrap file cannot be applied."""
    plugin = ServicePlugin("billing", settings)
    prices, grants = _bootstrap(settings.bootstrap)

    @asynccontextmanager
    async def running(app: Litestar) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            parts = await _open(app.state, plugin, settings, clock, stack)
            tasks = [
                asyncio.create_task(_every(settings.sweep_interval_s, lambda: sweep_leases(parts.sweeper))),
                asyncio.create_task(_every(_DAY_S, lambda: _keep_house(parts.keeper, clock))),
                asyncio.create_task(_until_done(lambda: _load_prices(parts, settings, prices))),
                asyncio.create_task(post_grants(parts.writer, account_finder(parts.rpc), grants)),
            ]
            stack.push_async_callback(end_tasks, *tasks)
            yield

    return Litestar(
        route_handlers=[WalletController, TopupController, UsageController, PriceController, AuditController],
        plugins=[plugin],
        lifespan=[running],
        guards=[require_principal(PrincipalSigner(settings.principal_keys))],
        dependencies={
            "principal": Provide(provide_principal, sync_to_thread=False),
            **{name: _from_state(name) for name in _INJECTED},
        },
        openapi_config=None,
    )


class _Parts(msgspec.Struct):
    """What the background tasks work with."""

    writer: LedgerWriter
    keeper: LeaseKeeper
    sweeper: LeaseSweeper
    store: PostgresPrices
    shelf: NatsPriceShelf
    rpc: RpcClient


async def _open(
    state: State, plugin: ServicePlugin, settings: Settings, clock: Clock, stack: AsyncExitStack
) -> _Parts:
    """Connect and start, in the order in which `stack` takes down again: RPC and usage stop first."""
    database = Database(settings.database_url, settings.pool_size)
    stack.push_async_callback(database.close)
    bus = await Bus.connect(settings.nats_url, f"billing-{settings.replica}")
    stack.push_async_callback(bus.close)
    plugin.checks |= {"postgres": database.ping, "nats": bus.ping}
    await bus.ensure_streams(STREAMS)

    outbox = OutboxPublisher(database, bus, "billing")
    writer = LedgerWriter(PostgresLedger(database), clock, outbox.notify)
    consumer = UsageConsumer(bus, UsageCharger(writer, NatsDeadLetters(bus, INTAKE, DURABLE)))
    server = RpcServer(bus, "billing", plugin.telemetry)
    add_lease_methods(server, Leases(writer, settings.lease_ttl_s))
    for part in (outbox, writer, consumer, server):
        await part.start()
        stack.push_async_callback(part.stop)

    keeper = PostgresLeases(database)
    backlog = NatsUsageBacklog(bus, INTAKE, DURABLE)
    sweeper = LeaseSweeper(writer, keeper, backlog, clock, settings.lease_grace_s)
    rpc = RpcClient(bus, plugin.telemetry)
    parts = _Parts(writer, keeper, sweeper, PostgresPrices(database), NatsPriceShelf(bus), rpc)
    state.writer = writer
    state.wallets = PostgresWallets(database)
    state.usage = PostgresUsage(database)
    state.auditor = PostgresAuditor(database)
    state.prices = parts.store
    state.shelf = parts.shelf

    async def republish() -> None:
        await publish_book(parts.store, parts.shelf)

    bus.on_reconnect(republish)
    return parts


def _bootstrap(path: str) -> tuple[list[Price], dict[str, int]]:
    """Billing's part of the file: prices, and grants by e-mail."""
    if not path:
        return [], {}
    bootstrap = load_bootstrap(Path(path), secrets_of=())
    try:
        prices = [price_from_spec(spec, FILE_SOURCE) for spec in bootstrap.prices]
        grants = {user.email: parse_usd(user.grant_usd) for user in bootstrap.users if user.grant_usd}
    except InvalidRequestError as error:
        raise BootstrapError(f"{path}: {error.message}") from None
    except ValueError as error:
        raise BootstrapError(f"{path}: grant_usd: {error}") from None
    if any(amount <= 0 for amount in grants.values()):
        raise BootstrapError(f"{path}: grant_usd is above zero or absent")
    return prices, grants


def _from_state(name: str) -> Provide:
    def provide(state: State) -> object:
        return state[name]

    return Provide(provide, sync_to_thread=False)


async def _load_prices(parts: _Parts, settings: Settings, file_prices: Sequence[Price]) -> None:
    """The file's prices are served at once; the seed's second of work follows."""
    await apply_prices(parts.store, file_prices)
    await publish_book(parts.store, parts.shelf)
    if settings.seed_prices and await seed_prices(parts.store, list_source(), read_list_prices):
        await publish_book(parts.store, parts.shelf)


async def _keep_house(keeper: LeaseKeeper, clock: Clock) -> None:
    await keeper.create_partitions(MONTHS_AHEAD)
    await keeper.prune(clock() - timedelta(days=INBOX_DAYS), INBOX_DAYS)


async def _every(interval_s: float, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await work()
        except Exception as error:  # noqa: BLE001  database or broker away: the next round does it
            _LOG.warning("periodic work failed: %r", error)
            await asyncio.sleep(min(interval_s, _RETRY_S))
        else:
            await asyncio.sleep(interval_s)


async def _until_done(work: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await work()
        except Exception as error:  # noqa: BLE001  as `_every`
            _LOG.warning("start-up work failed, tried again: %r", error)
            await asyncio.sleep(_RETRY_S)
        else:
            return
