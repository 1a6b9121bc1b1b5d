"""The charger between the stream and the writer: bounded, and nothing is given up half-way."""

import asyncio
from typing import Any

import pytest

from billing.domain.books import Operation
from billing.domain.usage import ChargeUsage
from billing.usecases.usage import CHUNK, UsageCharger
from common.contracts.errors import UnavailableError
from common.contracts.usage import UsageBatch, UsageRecord
from common.kit.ids import uuid7

PLENTY = 40 * CHUNK + 1


class SlowWriter:
    """Carries out what waits, a turn of the loop later; refuses from operation `away_from` on."""

    def __init__(self, away_from: int = 1_000_000) -> None:
        self.waiting = 0
        self.most = 0
        self.seen: list[str] = []
        self._left = away_from

    def lane_of(self, customer: str) -> int:
        """One of two."""
        return hash(customer) % 2

    async def submit(self, operation: Operation, customer: str = "") -> Any:
        """The number of records."""
        assert isinstance(operation, ChargeUsage)
        lanes = {self.lane_of(record.account) for record in operation.records}
        assert lanes == {self.lane_of(customer)}
        self.waiting += operation.size
        self.most = max(self.most, self.waiting)
        await asyncio.sleep(0)  # reason: others come meanwhile
        self.waiting -= operation.size
        self._left -= 1
        if self._left < 0:
            raise UnavailableError("The ledger is away.")
        self.seen += [record.id for record in operation.records]
        return operation.size


class NoLetters:
    """Nothing is buried here."""

    async def bury(self, payload: bytes, reason: str) -> None:
        """Never called."""
        raise AssertionError(reason, payload)


def delivery(count: int) -> UsageBatch:
    account = uuid7()
    return UsageBatch(
        "relay",
        tuple(
            UsageRecord(
                uuid7(), "request-1", account, "user", account, "", "chat", "m", "m", "c", "default",
                1_768_478_400_000, 5, None, 200, "ok", {"call": 7}, {"call": 1000}, 1, 1_000_000, 7,
            )
            for _ in range(count)
        ),
    )  # fmt: skip


async def test_a_delivery_larger_than_the_writers_queue_is_charged_whole_a_window_at_a_time() -> None:
    writer, batch = SlowWriter(), delivery(PLENTY)
    await UsageCharger(writer, NoLetters()).charge_usage([batch])
    assert writer.seen == [record.id for record in batch.records]
    assert writer.most <= 16 * CHUNK


async def test_a_piece_of_usage_is_of_one_lane_and_each_customers_records_keep_their_order() -> None:
    writer, batches = SlowWriter(), [delivery(1 + number % 7) for number in range(200)]
    await UsageCharger(writer, NoLetters()).charge_usage(batches)
    seen = {id_: place for place, id_ in enumerate(writer.seen)}
    for batch in batches:
        places = [seen[record.id] for record in batch.records]
        assert places == sorted(places)
    assert len(seen) == sum(len(batch.records) for batch in batches)


async def test_when_the_ledger_goes_away_nothing_goes_on_behind_the_failure() -> None:
    writer = SlowWriter(away_from=10)
    with pytest.raises(UnavailableError):
        await UsageCharger(writer, NoLetters()).charge_usage([delivery(PLENTY)])
    assert (writer.waiting, len(writer.seen)) == (0, 10 * CHUNK)
