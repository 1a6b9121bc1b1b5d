"""The group-commit writer: one bad operation spoils nothing, a lost commit is repeated."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec

from billing.domain.books import Books, Operation, Wanted
from billing.usecases.writer import LedgerWriter
from common.contracts.errors import ConflictError, ServiceError, UnavailableError


class LostError(Exception):
    """The database went away."""


class FakeLedger:
    """Counts transactions; fails them as told."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.committed: list[str] = []
        self.lose_commits = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.disk = asyncio.Event()
        self.disk.set()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["FakeLedger"]:
        await self.gate.wait()
        batch: list[str] = []
        self.batches.append(batch)
        yield self
        if "cursed" in batch:
            raise ValueError("a row the database refuses")
        self.committed += [name for name in batch if name not in self.committed]
        if self.lose_commits:
            self.lose_commits -= 1
            raise LostError

    async def load(self, operations: Sequence[Operation], now: datetime) -> Books:
        self.batches[-1] += [operation.name for operation in operations if isinstance(operation, Named)]
        return Books(now)

    async def save(self, books: Books) -> None:  # noqa: ARG002  the protocol's
        await self.disk.wait()

    def is_transient(self, error: BaseException) -> bool:
        return isinstance(error, LostError)


class Named(msgspec.Struct, frozen=True):
    """Answers its name, or is refused."""

    name: str
    size: int = 1

    def want(self, wanted: Wanted) -> None:
        pass

    def decide(self, books: Books) -> str:  # noqa: ARG002  the protocol's
        if self.name == "refused":
            raise ConflictError("no")
        return self.name


@asynccontextmanager
async def writing(
    ledger: FakeLedger, notify: Callable[[], None] = lambda: None, **limits: Any
) -> AsyncIterator[LedgerWriter]:
    writer = LedgerWriter(ledger, lambda: datetime.now(UTC), notify, **limits)
    await writer.start()
    yield writer
    await writer.stop()


async def submit_all(writer: LedgerWriter, *names: str) -> list[Any]:
    return await asyncio.gather(*(writer.submit(Named(name)) for name in names), return_exceptions=True)


async def test_what_waits_is_committed_together_and_told_once() -> None:
    ledger, told = FakeLedger(), []
    async with writing(ledger, lambda: told.append(1)) as writer:
        assert await submit_all(writer, "a", "b", "c") == ["a", "b", "c"]
    assert ledger.batches == [["a", "b", "c"]]
    assert told == [1]


async def test_a_refusal_is_the_callers_own() -> None:
    async with writing(FakeLedger()) as writer:
        a, refused, b = await submit_all(writer, "a", "refused", "b")
    assert (a, b) == ("a", "b")
    assert isinstance(refused, ConflictError)


async def test_an_operation_the_database_refuses_fails_alone() -> None:
    ledger = FakeLedger()
    async with writing(ledger) as writer:
        a, cursed, b = await submit_all(writer, "a", "cursed", "b")
    assert (a, b) == ("a", "b")
    assert isinstance(cursed, ServiceError)
    assert cursed.error_status == 500
    assert ledger.committed == ["a", "b"]


async def test_a_commit_of_unknown_outcome_is_repeated() -> None:
    ledger = FakeLedger()
    ledger.lose_commits = 3
    async with writing(ledger) as writer:
        assert await submit_all(writer, "a", "b") == ["a", "b"]
    assert ledger.batches == [["a", "b"]] * 4


async def test_patience_ends_and_the_callers_are_told() -> None:
    ledger = FakeLedger()
    ledger.lose_commits = 10**6
    async with writing(ledger, patience_s=0.1) as writer:
        outcome = (await submit_all(writer, "a"))[0]
    assert isinstance(outcome, UnavailableError)


async def test_a_caller_that_left_costs_no_work_and_harms_nobody() -> None:
    ledger = FakeLedger()
    ledger.gate.clear()
    async with writing(ledger) as writer:
        first = writer.submit(Named("first"))
        await asyncio.sleep(0)  # reason: lets the writer begin
        gone = writer.submit(Named("gone"))
        last = writer.submit(Named("last"))
        gone.cancel()
        ledger.gate.set()
        assert list(await asyncio.gather(first, last)) == ["first", "last"]
    assert ledger.committed == ["first", "last"]


async def test_a_call_waits_for_one_piece_of_bulk_at_most_and_bulk_for_no_more_than_a_batch() -> None:
    ledger = FakeLedger()
    ledger.gate.clear()
    async with writing(ledger) as writer:
        work = [writer.submit(Named("first"))]
        await asyncio.sleep(0)  # reason: lets the writer begin
        work += [writer.submit(Named(f"bulk-{number}", 128)) for number in range(6)]
        work += [writer.submit(Named("call-1")), writer.submit(Named("call-2"))]
        ledger.gate.set()
        await asyncio.gather(*work)
    assert ledger.batches == [
        ["first"],
        ["call-1", "call-2", "bulk-0"],
        ["bulk-1", "bulk-2", "bulk-3", "bulk-4"],
        ["bulk-5"],
    ]


async def test_a_full_queue_refuses_at_once() -> None:
    ledger = FakeLedger()
    async with writing(ledger, queue_limit=2) as writer:
        outcomes = await submit_all(writer, "a", "b", "c", "d")
    assert outcomes[:2] == ["a", "b"]
    assert [type(outcome) for outcome in outcomes[2:]] == [UnavailableError] * 2
    assert ledger.committed == ["a", "b"]


async def test_customers_of_two_lanes_do_not_wait_for_each_other_and_what_comes_then_waits_together() -> None:
    ledger = FakeLedger()
    ledger.disk.clear()
    async with writing(ledger) as writer:
        ann = "ann"
        bob = next(name for name in map(str, range(100)) if writer.lane_of(name) != writer.lane_of(ann))
        work = []
        for name, customer in (("first", ann), ("second", ann), ("third", bob), ("fourth", ann)):
            work.append(writer.submit(Named(name), customer))
            for _ in range(10):
                await asyncio.sleep(0)  # reason: lets the writer go as far as it can
        assert ledger.batches == [["first"], ["third"]]
        ledger.disk.set()
        assert await asyncio.gather(*work) == ["first", "second", "third", "fourth"]
    assert ledger.batches == [["first"], ["third"], ["second", "fourth"]]


async def test_stopping_finishes_what_is_under_way_in_every_lane_and_refuses_what_waits() -> None:
    ledger = FakeLedger()
    ledger.disk.clear()
    async with writing(ledger) as writer:
        customers = {writer.lane_of(name): name for name in map(str, range(100))}
        assert len(customers) == 2
        work = []
        for name in ("under way", "waits"):
            work += [writer.submit(Named(name), customer) for customer in customers.values()]
            for _ in range(10):
                await asyncio.sleep(0)  # reason: lets the writer go as far as it can
        stopping = asyncio.create_task(writer.stop())
        await asyncio.sleep(0)  # reason: lets it begin to stop
        ledger.disk.set()
        await stopping
        outcomes = await asyncio.gather(*work, return_exceptions=True)
    assert outcomes[:2] == ["under way"] * 2
    assert [type(outcome) for outcome in outcomes[2:]] == [UnavailableError] * 2
    assert ledger.committed == ["under way"]
