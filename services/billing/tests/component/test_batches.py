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


async def apply(database: Database, batch: list[Operation]) -> list[object]:
    """One transaction, as the writer does it."""
    async with PostgresLedger(database).transaction() as session:
        books = await session.load(batch, START)
        outcomes: list[object] = []
        for operation in batch:
            try:
                outcomes.append(operation.decide(books))
            except ServiceError as error:
                outcomes.append((error.error_code, error.message))
        await session.save(books)
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
