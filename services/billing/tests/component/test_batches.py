"""What the group-commit writer rests on, on real PostgreSQL: a batch is its operations one by one."""

import asyncio
import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.adapters.postgres.ledger import PLANNER, PostgresLedger
from billing.domain.books import Operation
from billing.domain.captures import CaptureHold
from billing.domain.holds import ExtendHold, OpenHold, VoidHold
from billing.domain.leases import CloseLease, ExpireLeases, RequestLease
from billing.domain.topups import PostTopup
from billing.domain.usage import ChargeUsage
from common.contracts.errors import ServiceError
from common.contracts.holds import HoldCapture, HoldExtend, HoldOpen, HoldVoid
from common.contracts.leases import LeaseClose, LeaseGrant, LeaseRequest
from common.contracts.principals import Budget
from common.contracts.usage import UsageRecord
from common.kit.db import Database
from common.kit.ids import uuid7
from common.testing.plugin import DatabaseFactory

START = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
TTL_S = 30.0
# Everything that operations leave, without ids minted on the way and without order between accounts.
FACTS = {
    "transfers": """
        SELECT t.kind, d.name, c.name, t.amount, t.debit_after, t.credit_after, t.reference, t.posted_at
        FROM transfers AS t JOIN accounts AS d ON d.id = t.debit_account
        JOIN accounts AS c ON c.id = t.credit_account WHERE t.customer = ANY($1::uuid[]) ORDER BY t.position
    """,
    "accounts": "SELECT name, debits, credits FROM accounts ORDER BY name",
    "leases": "SELECT to_jsonb(l) FROM leases AS l WHERE account = ANY($1::uuid[]) ORDER BY id",
    "holds": "SELECT to_jsonb(h) FROM holds AS h WHERE account = ANY($1::uuid[]) ORDER BY id",
    "spenders": "SELECT to_jsonb(s) FROM spenders AS s WHERE account = ANY($1::uuid[]) ORDER BY id",
    "customers": """
        SELECT to_jsonb(c) - 'created_at' FROM customers AS c WHERE account = ANY($1::uuid[]) ORDER BY account
    """,
    "usage": """
        SELECT id, account, sequence, from_held_nano, overage_nano, uncollected_nano, balance_after
        FROM usage_records WHERE account = ANY($1::uuid[]) ORDER BY account, sequence
    """,
    "events": """
        SELECT account, convert_from(events, 'UTF8') FROM billing_events
        WHERE account = ANY($1::uuid[]) ORDER BY account, sequence
    """,
}
KINDS = ("topup", "request", "request", "close", "usage", "expire", "open", "capture", "extend", "void")
AMOUNTS = st.integers(1, 60)
_MINTED = {"id", "posted_at"}


class World:
    """Ids of one example: two accounts, three spenders, five leases, three holds; new in every example."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.accounts = [self.uid(1), self.uid(2)]
        self.spenders = {
            self.uid(11): self.accounts[0],
            self.uid(12): self.accounts[0],
            self.uid(13): self.accounts[1],
        }
        self.leases = [self.uid(100 + lease) for lease in range(5)]
        self.holds = [self.uid(200 + hold) for hold in range(3)]

    def uid(self, number: int) -> str:
        """The same number is the same id within the example."""
        return f"00000000-0000-7000-8000-{self.number:06x}{number:06x}"

    def grants(self) -> list[Operation]:
        """Some money to begin with."""
        amounts = zip(self.accounts, (100, 50), strict=True)
        return [
            PostTopup(self.uid(900 + place), account, amount, "grant", "")
            for place, (account, amount) in enumerate(amounts)
        ]

    def record(self, number: int, account: str, spender: str, lease: str) -> UsageRecord:
        """A request that costs seven times its number."""
        cost = 7 * number
        return UsageRecord(
            self.uid(10_000 + number), "request-1", account, "user", spender, lease, "chat", "m", "m", "c",
            "default", 1_768_478_400_000, 5, None, 200, "ok", {"call": cost}, {"call": 1000}, 1, 1_000_000,
            cost,
        )  # fmt: skip


def on_hold(world: World, draw: st.DrawFn, account: str, spender: str, kind: str) -> Operation:
    """One of the four calls about holds."""
    hold, id_ = draw(st.sampled_from(world.holds)), world.uid(2000 + draw(st.integers(0, 4)))
    if kind == "open":
        return OpenHold(HoldOpen(hold, account, spender, draw(AMOUNTS), 60), waits=draw(st.booleans()))
    if kind == "capture":
        return CaptureHold(HoldCapture(hold, id_, draw(st.none() | AMOUNTS)))
    if kind == "extend":
        return ExtendHold(HoldExtend(hold, id_, draw(AMOUNTS), 60))
    return VoidHold(HoldVoid(hold, id_))


def on_lease(world: World, draw: st.DrawFn, account: str, spender: str, kind: str) -> Operation:
    """A call about a lease, its expiry, or usage."""
    lease, small = draw(st.sampled_from(world.leases)), draw(st.integers(0, 4))
    if kind == "close":
        return CloseLease(LeaseClose(lease, small, draw(AMOUNTS)), TTL_S)
    if kind == "expire":
        cutoff = START + timedelta(seconds=draw(st.sampled_from([0, 61])))
        return ExpireLeases(tuple(world.leases), cutoff)
    if kind == "usage":
        numbers = draw(st.lists(st.integers(0, 12), min_size=1, max_size=4))
        known = draw(st.sampled_from([lease, ""]))
        return ChargeUsage(tuple(world.record(number, account, spender, known) for number in numbers))
    budget = draw(st.none() | st.builds(Budget, st.integers(0, 80), st.sampled_from(["total", "day"])))
    needs = tuple(draw(st.lists(AMOUNTS, max_size=3)))
    request = LeaseRequest(lease, small, "r", account, spender, "key", needs, small, small, budget)
    return RequestLease(request, TTL_S)


def operations(world: World) -> st.SearchStrategy[Operation]:
    """Any operation on the world: possible, impossible, repeated, with an id that meant something else."""

    @st.composite
    def one(draw: st.DrawFn) -> Operation:
        spender = draw(st.sampled_from(sorted(world.spenders)))
        own = world.spenders[spender]
        account = own if draw(st.integers(0, 9)) else draw(st.sampled_from(world.accounts))
        kind = draw(st.sampled_from(KINDS))
        if kind == "topup":
            id_ = world.uid(1000 + draw(st.integers(0, 3)))
            return PostTopup(id_, account, draw(AMOUNTS), "topup", "")
        work = on_hold if kind in {"open", "capture", "extend", "void"} else on_lease
        return work(world, draw, account, spender, kind)

    return one()


class LostError(Exception):
    """The transaction came to nothing."""


async def apply(
    ledger: Database | PostgresLedger, batch: list[Operation], now: datetime = START, *, lost: bool = False
) -> list[object]:
    """One transaction, as the writer does it; `lost` when all is done but the COMMIT."""
    if isinstance(ledger, Database):
        ledger = PostgresLedger(ledger)
    async with ledger.transaction() as session:
        books = await session.load(batch, now)
        outcomes: list[object] = []
        for operation in batch:
            try:
                outcomes.append(operation.decide(books))
            except ServiceError as error:
                outcomes.append((error.error_code, error.message))
        await session.save(books)
        if lost:
            raise LostError
    return outcomes


async def facts(database: Database, accounts: list[str]) -> dict[str, Any]:
    """What the database has of the accounts; the platform's own are compared whole."""
    found: dict[str, Any] = {}
    async with database.driver_transaction() as driver:
        for name, query in FACTS.items():
            arguments = [accounts] if "$1" in query else []
            found[name] = [tuple(row) for row in await driver.fetch(query, *arguments)]
    told: dict[str, list[Any]] = {}
    for account, bodies in found["events"]:
        told.setdefault(str(account), []).extend(
            {key: value for key, value in event.items() if key not in _MINTED}
            for event in msgspec.json.decode(bodies)
        )
    return found | {"events": told}


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """One loop for all examples, since a connection belongs to its loop."""
    with asyncio.Runner() as running:
        yield running


def test_a_batch_in_the_database_is_its_operations_one_by_one(
    database: DatabaseFactory, runner: asyncio.Runner
) -> None:
    async def connect() -> Database:
        return Database(await database("billing"), 1)

    together, apart = runner.run(connect()), runner.run(connect())
    worlds = itertools.count(1)
    kinds: set[type] = set()

    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def compare(data: st.DataObject) -> None:
        world = World(next(worlds))
        batch = data.draw(st.lists(operations(world), min_size=1, max_size=14))

        async def run() -> None:
            for each in (together, apart):
                await apply(each, world.grants())
            at_once = await apply(together, batch)
            one_by_one = [(await apply(apart, [operation]))[0] for operation in batch]
            assert at_once == one_by_one
            assert await facts(together, world.accounts) == await facts(apart, world.accounts)
            kinds.update(map(type, at_once))

        runner.run(run())

    try:
        compare()
    finally:
        runner.run(together.close())
        runner.run(apart.close())
    assert tuple in kinds  # refusals were among them


def test_processes_that_remember_and_take_turns_are_as_one_that_remembers_nothing(
    database: DatabaseFactory, runner: asyncio.Runner
) -> None:
    async def connect() -> tuple[Database, Database]:
        return Database(await database("billing"), 1), Database(await database("billing"), 1)

    shared, apart = runner.run(connect())
    processes = [PostgresLedger(shared), PostgresLedger(shared)]
    worlds = itertools.count(1)

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def compare(data: st.DataObject) -> None:
        world = World(next(worlds))
        batches = st.tuples(
            st.integers(0, 1),
            st.sampled_from((0, 0, 0, 1)),
            st.lists(operations(world), min_size=1, max_size=3),
        )
        turns = data.draw(st.lists(batches, min_size=1, max_size=8))

        async def run() -> None:
            for each in (shared, apart):
                await apply(each, world.grants())
            for process, lost, batch in turns:
                if lost:
                    with pytest.raises(LostError):
                        await apply(processes[process], batch, lost=True)
                else:
                    assert await apply(processes[process], batch) == await apply(apart, batch)
            assert await facts(shared, world.accounts) == await facts(apart, world.accounts)

        runner.run(run())

    try:
        compare()
    finally:
        runner.run(shared.close())
        runner.run(apart.close())


async def test_what_only_this_process_wrote_is_not_read_again_and_what_another_wrote_is(
    database: DatabaseFactory,
) -> None:
    pool = Database(await database("billing"), 1, PLANNER)
    ours, theirs = PostgresLedger(pool), PostgresLedger(pool)
    world = World(1)
    lease, (spender, account) = world.leases[0], next(iter(world.spenders.items()))

    def call(sequence: int) -> list[Operation]:
        return [RequestLease(LeaseRequest(lease, sequence, "r", account, spender, needs_nano=(5,)), TTL_S)]

    async def edit(statement: str) -> None:
        async with pool.driver_transaction() as driver:
            await driver.execute(statement)

    await apply(ours, [*world.grants(), *call(0)])
    # Behind everybody's back: only who reads the rows sees it.
    await edit("UPDATE spenders SET budget_nano = 7; UPDATE leases SET sequence = 6")
    assert [type(told) for told in await apply(ours, call(1))] == [LeaseGrant]
    # A repeated call changes nothing but the lease's time.
    later = START + timedelta(seconds=50)
    assert [type(told) for told in await apply(theirs, call(1), later)] == [LeaseGrant]
    assert await apply(ours, [ExpireLeases((lease,), START + timedelta(seconds=61))], later) == [0]
    assert await apply(theirs, [ExpireLeases((lease,), START + timedelta(seconds=111))], later) == [1]
    assert [told[0] for told in await apply(ours, call(2), later) if isinstance(told, tuple)] == [
        "lease_expired"
    ]
    # Another connection may be one to another server.
    await edit("UPDATE spenders SET held_nano = 9")
    async with pool.driver() as driver:
        driver.terminate()
    renewed: list[Operation] = [
        RequestLease(LeaseRequest(uuid7(), 0, "r", account, spender, needs_nano=(5,)), TTL_S)
    ]
    assert [type(told) for told in await apply(ours, renewed, later)] == [LeaseGrant]
    async with pool.driver_transaction() as driver:
        assert await driver.fetchval("SELECT held_nano FROM spenders WHERE id = $1::uuid", spender) == 14
    await pool.close()


async def test_two_that_add_to_revenue_wait_only_to_write_and_time_goes_with_the_order_of_writing(
    database: DatabaseFactory,
) -> None:
    pool = Database(await database("billing"), 2, PLANNER)
    ledger, world = PostgresLedger(pool), World(1)
    (ann, bob), spenders = world.accounts, {account: spender for spender, account in world.spenders.items()}
    await apply(ledger, world.grants())

    def work(number: int, account: str) -> list[Operation]:
        lease = LeaseRequest(world.leases[number], 0, "r", account, spenders[account], needs_nano=(5,))
        return [
            RequestLease(lease, TTL_S),
            ChargeUsage((world.record(number + 1, account, spenders[account], lease.lease),)),
        ]

    later = START + timedelta(milliseconds=250)
    async with ledger.transaction() as session:
        books = await session.load(work(0, ann), START)
        for operation in work(0, ann):
            operation.decide(books)
        async with asyncio.timeout(10):
            await apply(ledger, work(1, bob), later)
        await session.save(books)
    async with pool.driver_transaction() as driver:
        revenue = await driver.fetch(
            "SELECT customer::text, credit_after, posted_at FROM transfers"
            " WHERE kind IN ('usage', 'overage') ORDER BY position"
        )
        assert [row[0] for row in revenue][:2] == [bob, bob]
        assert [row[1] for row in revenue] == [5, 14, 19, 21]
        assert {row[2] for row in revenue} == {later}
        told = [
            (event["id"], datetime.fromisoformat(event["posted_at"]))
            for row in await driver.fetch("SELECT convert_from(events, 'UTF8') FROM billing_events")
            for event in msgspec.json.decode(row[0])
            if event["type"] == "billing.transfer.posted.v1"
        ]
        posted = dict(await driver.fetch("SELECT id::text, posted_at FROM transfers"))
        assert {posted[id_] for id_, _ in told} == {START, later}
        assert all(posted[id_] == moment for id_, moment in told)
    await pool.close()


async def test_a_batch_that_waits_for_another_finds_its_customers_at_the_first_look(
    database: DatabaseFactory,
) -> None:
    dsn = await database("billing")
    first, second, watch = (Database(dsn, 1, PLANNER) for _ in range(3))
    world = World(1)
    await apply(first, world.grants())

    def calls(sequence: int) -> list[Operation]:
        places = zip(world.leases, world.spenders.items(), strict=False)
        return [
            RequestLease(LeaseRequest(lease, sequence, "r", account, spender, needs_nano=(5,)), TTL_S)
            for lease, (spender, account) in places
        ]

    await apply(first, calls(0))
    # Every attempt to make an account takes a number, even if there is one: see who is thought to be missing.
    made = "SELECT last_value FROM accounts_id_seq"
    async with watch.driver_transaction() as driver:
        before = await driver.fetchval(made)
        async with PostgresLedger(first).transaction() as session:
            books = await session.load(calls(1), START)
            for operation in calls(1):
                operation.decide(books)
            await session.save(books)
            waiting = asyncio.create_task(apply(second, calls(2)))
            while not await driver.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)  # reason: PostgreSQL tells nobody who waits
        granted = await waiting
        assert [grant.granted_nano for grant in granted if isinstance(grant, LeaseGrant)] == [5, 5, 5]
        assert await driver.fetchval(made) == before
    for pool in (first, second, watch):
        await pool.close()
