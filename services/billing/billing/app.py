"""The composition root of billing."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide

from billing.adapters.list_prices import list_source, read_list_prices
from billing.adapters.nats import NatsDeadLetters, NatsShelf, NatsUsageBacklog, account_finder
from billing.adapters.postgres.audits import PostgresAuditor
from billing.adapters.postgres.history import PostgresHistory
from billing.adapters.postgres.holds import PostgresHolds
from billing.adapters.postgres.leases import PostgresLeases
from billing.adapters.postgres.ledger import PLANNER, PostgresLedger
from billing.adapters.postgres.payables import PostgresPayables
from billing.adapters.postgres.prices import PostgresPrices
from billing.adapters.postgres.spenders import PostgresSpenders
from billing.adapters.postgres.usage import PostgresUsage
from billing.adapters.postgres.wallets import PostgresWallets
from billing.consumers.holds import add_hold_methods
from billing.consumers.leases import add_lease_methods
from billing.consumers.payables import add_payable_methods
from billing.consumers.spenders import add_spender_methods
from billing.consumers.usage import DURABLE, UsageConsumer
from billing.consumers.wallets import add_wallet_methods
from billing.domain.multipliers import multipliers_from_specs
from billing.domain.ports import Clock, LeaseKeeper, PriceShelf, PriceStore
from billing.domain.prices import FILE_SOURCE, Draft, prices_from_specs
from billing.memberships.app import MEMBERSHIPS
from billing.notices.app import NOTICES
from billing.parts import Feature, Parts
from billing.payments.app import PAYMENTS
from billing.routes.audits import AuditController
from billing.routes.explanations import ExplanationController
from billing.routes.holds import HoldController
from billing.routes.multipliers import MultiplierController
from billing.routes.prices import PriceController
from billing.routes.principals import provide_principal, require_principal
from billing.routes.refunds import RefundController
from billing.routes.simulations import SimulationController
from billing.routes.topups import TopupController
from billing.routes.usage import UsageController
from billing.routes.wallets import WalletController
from billing.seals.app import SEALS
from billing.settings import Settings
from billing.statements.app import STATEMENTS
from billing.usecases.holds import Holds, HoldSweeper, sweep_holds
from billing.usecases.leases import Leases, LeaseSweeper, sweep_leases
from billing.usecases.payables import AppMoney
from billing.usecases.prices import apply_prices, publish_book, seed_prices
from billing.usecases.simulations import Simulator
from billing.usecases.topups import post_grants
from billing.usecases.usage import UsageCharger
from billing.usecases.writer import LedgerWriter
from common.contracts.bootstrap import Bootstrap
from common.contracts.errors import InvalidRequestError
from common.contracts.prices import PRICES_BUCKET, PRICES_KEY, PriceBook
from common.contracts.streams import INTAKE, STREAMS
from common.kit.bootstrap import BootstrapError, load_bootstrap
from common.kit.bus import Bus
from common.kit.db import Database
from common.kit.money import parse_usd
from common.kit.outbox import OutboxPublisher
from common.kit.plugin import ServicePlugin
from common.kit.principal import PrincipalSigner
from common.kit.rpc import RpcClient, RpcServer

FEATURES: tuple[Feature, ...] = (MEMBERSHIPS, PAYMENTS, STATEMENTS, SEALS, NOTICES)
"""Memberships first: they see every payment that the others post."""
INBOX_DAYS = 14
"""Longer than INTAKE keeps a message, so that none can come back unknown."""
MONTHS_AHEAD = 3
_DAY_S = 86_400
_INJECTED = ("writer", "wallets", "usage", "prices", "shelf", "simulator", "auditor", "holds")


def utc_now() -> datetime:
    """The wall clock, aware."""
    return datetime.now(UTC)


def create_app(settings: Settings, clock: Clock = utc_now) -> Litestar:
    """The service; BootstrapError when the bootstrap file cannot be applied."""
    plugin = ServicePlugin("billing", settings)
    bootstrap = load_bootstrap(Path(settings.bootstrap), secrets_of=()) if settings.bootstrap else Bootstrap()
    draft, grants = _core_bootstrap(settings.bootstrap, bootstrap)

    @asynccontextmanager
    async def running(app: Litestar) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            parts = await _connect(app.state, plugin, settings, clock, bootstrap, stack)
            core = _open_core(parts)
            for feature in FEATURES:
                await feature.open(parts)
            consumer = UsageConsumer(
                parts.bus, UsageCharger(parts.writer, NatsDeadLetters(parts.bus, INTAKE, DURABLE))
            )
            for part in (consumer, parts.server):
                await part.start()
                stack.push_async_callback(part.stop)
            parts.every(settings.sweep_interval_s, lambda: sweep_leases(core.sweeper))
            parts.every(settings.sweep_interval_s, lambda: sweep_holds(core.holds))
            parts.every(_DAY_S, lambda: _keep_house(core.keeper, clock))
            parts.every(_DAY_S, lambda: core.holds.forget(settings.repeat_days))
            parts.until_done(lambda: _load_prices(core.store, core.shelf, settings, draft))
            parts.run(post_grants(parts.writer, account_finder(parts.rpc), grants))
            yield

    names = [*_INJECTED, *(name for feature in FEATURES for name in feature.names)]
    return Litestar(
        route_handlers=[
            WalletController,
            TopupController,
            UsageController,
            RefundController,
            HoldController,
            ExplanationController,
            PriceController,
            MultiplierController,
            SimulationController,
            AuditController,
            *(controller for feature in FEATURES for controller in feature.controllers),
        ],
        plugins=[plugin],
        lifespan=[running],
        guards=[require_principal(PrincipalSigner(settings.principal_keys))],
        dependencies={
            "principal": Provide(provide_principal, sync_to_thread=False),
            **{name: _from_state(name) for name in names},
        },
        openapi_config=None,
    )


class _Core:
    """What the background tasks of the ledger itself work with."""

    def __init__(
        self,
        keeper: LeaseKeeper,
        sweeper: LeaseSweeper,
        holds: HoldSweeper,
        store: PriceStore,
        shelf: PriceShelf,
    ) -> None:
        self.keeper = keeper
        self.sweeper = sweeper
        self.holds = holds
        self.store = store
        self.shelf = shelf


async def _connect(
    state: State,
    plugin: ServicePlugin,
    settings: Settings,
    clock: Clock,
    bootstrap: Bootstrap,
    stack: AsyncExitStack,
) -> Parts:
    """Connect, and start the writer and the outbox, in the order in which `stack` takes down again."""
    database = Database(settings.database_url, settings.pool_size)
    books = Database(settings.database_url, 2, PLANNER)  # the writer's alone, which has two batches at most
    for pool in (database, books):
        stack.push_async_callback(pool.close)
    bus = await Bus.connect(settings.nats_url, f"billing-{settings.replica}")
    stack.push_async_callback(bus.close)
    plugin.checks |= {"postgres": database.ping, "nats": bus.ping}
    await bus.ensure_streams(STREAMS)

    outbox = OutboxPublisher(database, bus, "billing")
    ledger = PostgresLedger(books)
    writer = LedgerWriter(ledger, clock, outbox.notify)
    for part in (outbox, writer):
        await part.start()
        stack.push_async_callback(part.stop)
    return Parts(
        settings=settings,
        clock=clock,
        bootstrap=bootstrap,
        database=database,
        ledger=ledger,
        bus=bus,
        rpc=RpcClient(bus, plugin.telemetry),
        server=RpcServer(bus, "billing", plugin.telemetry),
        writer=writer,
        notify=outbox.notify,
        plugin=plugin,
        state=state,
        stack=stack,
    )


def _open_core(parts: Parts) -> _Core:
    database, bus, settings = parts.database, parts.bus, parts.settings
    add_lease_methods(parts.server, Leases(parts.writer, settings.lease_ttl_s))
    add_hold_methods(parts.server, Holds(parts.writer))
    add_payable_methods(parts.server, AppMoney(PostgresPayables(database), parts.writer))
    keeper = PostgresLeases(database)
    backlog = NatsUsageBacklog(bus, INTAKE, DURABLE)
    sweeper = LeaseSweeper(parts.writer, keeper, backlog, parts.clock, settings.lease_grace_s)
    store, shelf = PostgresPrices(database, parts.clock), NatsShelf(bus, PRICES_BUCKET, PRICES_KEY, PriceBook)
    state = parts.state
    state.writer = parts.writer
    state.wallets = PostgresWallets(database, parts.ledger, parts.clock)
    add_wallet_methods(parts.server, state.wallets)
    add_spender_methods(parts.server, PostgresSpenders(database), parts.clock)
    state.usage = PostgresUsage(database)
    state.holds = holds = PostgresHolds(database)
    state.auditor = PostgresAuditor(database)
    state.prices = store
    state.shelf = shelf
    state.simulator = Simulator(store, PostgresHistory(database))

    async def republish() -> None:
        await publish_book(store, shelf)

    bus.on_reconnect(republish)
    return _Core(keeper, sweeper, HoldSweeper(parts.writer, holds, parts.clock), store, shelf)


def _core_bootstrap(path: str, bootstrap: Bootstrap) -> tuple[Draft, dict[str, int]]:
    """The file's prices and multipliers, and grants by e-mail."""
    try:
        draft = Draft(
            prices_from_specs(bootstrap.prices, FILE_SOURCE),
            multipliers_from_specs(bootstrap.multipliers, FILE_SOURCE),
        )
        grants = {user.email: parse_usd(user.grant_usd) for user in bootstrap.users if user.grant_usd}
        for feature in FEATURES:
            feature.check(bootstrap)
    except InvalidRequestError as error:
        raise BootstrapError(f"{path}: {error.message}") from None
    except ValueError as error:
        raise BootstrapError(f"{path}: grant_usd: {error}") from None
    if any(amount <= 0 for amount in grants.values()):
        raise BootstrapError(f"{path}: grant_usd is above zero or absent")
    return draft, grants


def _from_state(name: str) -> Provide:
    def provide(state: State) -> object:
        return state[name]

    return Provide(provide, sync_to_thread=False)


async def _load_prices(store: PriceStore, shelf: PriceShelf, settings: Settings, draft: Draft) -> None:
    """The file's prices are served at once; the seed's second of work follows."""
    await apply_prices(store, draft)
    await publish_book(store, shelf)
    if settings.seed_prices and await seed_prices(store, list_source(), read_list_prices):
        await publish_book(store, shelf)


async def _keep_house(keeper: LeaseKeeper, clock: Clock) -> None:
    await keeper.create_partitions(MONTHS_AHEAD)
    await keeper.prune(clock() - timedelta(days=INBOX_DAYS), INBOX_DAYS)
