"""The sweeper: money comes back, but never before the usage it was held for."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from billing.domain.leases import ExpireLeases
from billing.usecases.leases import LeaseSweeper
from common.contracts.errors import UnavailableError

START = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)


class FakeLedger:
    """Leases by the time they expire; expiring takes them away."""

    def __init__(self, *due_s: float) -> None:
        self.open = {f"lease-{due}": START + timedelta(seconds=due) for due in due_s}
        self.cutoffs: list[datetime] = []

    async def due(self, cutoff: datetime, limit: int) -> tuple[str, ...]:
        return tuple(name for name, expires_at in self.open.items() if expires_at <= cutoff)[:limit]

    def lane_of(self, customer: str) -> int:  # noqa: ARG002  the port's
        return 0

    async def submit(self, operation: Any, customer: str = "") -> int:  # noqa: ARG002  the port's
        assert isinstance(operation, ExpireLeases)
        self.cutoffs.append(operation.cutoff)
        for name in operation.leases:
            del self.open[name]
        return len(operation.leases)

    async def prune(self, before: datetime, inbox_days: int) -> None:
        raise NotImplementedError

    async def create_partitions(self, months: int) -> None:
        raise NotImplementedError


class FakeStream:
    """A stream whose consumer has come as far as the test says."""

    def __init__(self) -> None:
        self.published = 0
        self.floor = 0
        self.away = False

    async def last(self) -> int:
        if self.away:
            raise UnavailableError("away")
        return self.published

    async def applied(self, sequence: int) -> bool:
        if self.away:
            raise UnavailableError("away")
        return self.floor >= sequence


def sweeper(ledger: FakeLedger, stream: FakeStream, now: list[datetime]) -> LeaseSweeper:
    return LeaseSweeper(ledger, ledger, stream, lambda: now[0], 600)


async def test_an_expired_lease_waits_for_what_was_published_in_its_time() -> None:
    ledger, stream, now = FakeLedger(10, 90), FakeStream(), [START + timedelta(seconds=60)]
    keeper = sweeper(ledger, stream, now)
    stream.published = 5
    assert await keeper.sweep() == 0
    stream.published, stream.floor = 9, 4
    now[0] += timedelta(seconds=40)
    assert await keeper.sweep() == 0
    stream.floor = 5  # not 9: what was published after the lease's time is no reason to wait
    assert await keeper.sweep() == 1
    assert ledger.cutoffs == [START + timedelta(seconds=60)]
    assert list(ledger.open) == ["lease-90"]


async def test_a_stuck_consumer_is_waited_for_no_longer_than_the_grace() -> None:
    ledger, stream, now = FakeLedger(10), FakeStream(), [START + timedelta(seconds=609)]
    keeper = sweeper(ledger, stream, now)
    stream.published = 5
    assert await keeper.sweep() == 0
    now[0] += timedelta(seconds=1)
    assert await keeper.sweep() == 1


async def test_a_stream_that_cannot_be_asked_is_waited_for() -> None:
    ledger, stream, now = FakeLedger(10), FakeStream(), [START + timedelta(days=1)]
    keeper = sweeper(ledger, stream, now)
    stream.away = True
    with pytest.raises(UnavailableError):
        await keeper.sweep()
    stream.away = False
    assert await keeper.sweep() == 1


async def test_nothing_is_asked_of_the_stream_while_nothing_is_due() -> None:
    stream = FakeStream()
    stream.away = True
    assert await sweeper(FakeLedger(10), stream, [START]).sweep() == 0
