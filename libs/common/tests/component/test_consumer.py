"""Durable consumers: at least once, dead letters only for what can never be applied."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import msgspec
import pytest

from common.contracts.streams import BILLING, DLQ, STREAMS, Stream
from common.kit.bus import Bus
from common.kit.consumer import DurableConsumer, PoisonError
from common.testing.nats import EmbeddedNats
from common.testing.plugin import OWN_USER

Eventually = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]
Start = Callable[..., Awaitable[DurableConsumer["Fact"]]]


class Fact(msgspec.Struct):
    """What is consumed here."""

    name: str


class Ledger:
    """Applies facts; `wanted` is set when that many were applied; fails or hangs when told to."""

    def __init__(self, expected: int) -> None:
        self.applied: list[str] = []
        self.batches: list[list[str]] = []
        self.complete = asyncio.Event()
        self.entered = asyncio.Event()
        self.failures = 0
        self.hangs = False
        self._expected = expected

    async def apply(self, facts: Sequence[Fact]) -> None:
        names = [fact.name for fact in facts]
        self.batches.append(names)
        self.entered.set()
        if self.hangs:
            await asyncio.Event().wait()
        if self.failures:
            self.failures -= 1
            raise ConnectionError("the database is away")
        if "poison" in names:
            raise PoisonError("no such account")
        self.applied += names
        if len(self.applied) >= self._expected:
            self.complete.set()


async def publish(bus: Bus, *names: str) -> None:
    for name in names:
        await bus.publish("billing.sample.v1.a", msgspec.msgpack.encode(Fact(name)))


@pytest.fixture
async def start(bus: Bus) -> AsyncIterator[Start]:
    """Start a consumer of BILLING; stopped after the test."""
    started: list[DurableConsumer[Fact]] = []

    async def begin(
        ledger: Ledger, *, stream: Stream = BILLING, ack_wait_s: float = 30
    ) -> DurableConsumer[Fact]:
        decode = msgspec.msgpack.Decoder(Fact).decode
        consumer = DurableConsumer(bus, stream, "ledger", decode, ledger.apply, ack_wait_s=ack_wait_s)
        await consumer.start()
        started.append(consumer)
        return consumer

    yield begin
    for consumer in started:
        await consumer.stop()


async def pending(consumer: DurableConsumer[Fact]) -> int:
    """Messages not yet applied: waiting plus delivered and unacknowledged."""
    info = await consumer._bus.jetstream.consumer_info(consumer._stream.name, consumer._durable)
    return (info.num_pending or 0) + (info.num_ack_pending or 0)


def nothing_waits(consumer: DurableConsumer[Fact]) -> Callable[[], Awaitable[bool]]:
    async def condition() -> bool:
        return await pending(consumer) == 0

    return condition


async def test_messages_are_applied_in_order_and_acknowledged(
    bus: Bus, start: Start, eventually: Eventually
) -> None:
    await publish(bus, "1", "2", "3")
    ledger = Ledger(5)
    consumer = await start(ledger)
    await publish(bus, "4", "5")
    await ledger.complete.wait()
    assert ledger.applied == ["1", "2", "3", "4", "5"]
    await eventually(nothing_waits(consumer))


async def test_a_batch_is_repeated_until_the_handler_succeeds(
    bus: Bus, start: Start, eventually: Eventually
) -> None:
    await publish(bus, "1", "2")
    ledger = Ledger(2)
    ledger.failures = 3
    consumer = await start(ledger)
    await ledger.complete.wait()
    assert sorted(ledger.applied) == ["1", "2"]
    assert len(ledger.batches) >= 4
    await eventually(nothing_waits(consumer))
    assert (await bus.jetstream.stream_info("DLQ")).state.messages == 0


async def test_only_poison_becomes_a_dead_letter(bus: Bus, start: Start, eventually: Eventually) -> None:
    letters = await bus.jetstream.subscribe("dlq.>", ordered_consumer=True)
    await publish(bus, "1", "poison", "2")
    for data in (b"\xc1", b"\x81\xa4name\xa2\xff\xfe", b"\x81\xa4name\x01"):
        await bus.publish("billing.sample.v1.b", data)
    await publish(bus, "3")
    ledger = Ledger(3)
    consumer = await start(ledger)
    await ledger.complete.wait()
    assert ledger.applied == ["1", "2", "3"]
    found = [await letters.next_msg(timeout=10) for _ in range(4)]
    assert {letter.subject for letter in found} == {"dlq.BILLING.ledger"}
    assert found[0].data == msgspec.msgpack.encode(Fact("poison"))
    assert "no such account" in (found[0].headers or {})["tollway-error"]
    assert (found[1].headers or {})["tollway-subject"] == "billing.sample.v1.b"
    await eventually(nothing_waits(consumer))


async def test_a_dead_letter_is_kept_until_it_could_be_stored(
    bus: Bus, start: Start, eventually: Eventually
) -> None:
    await bus.jetstream.delete_stream("DLQ")
    await publish(bus, "poison")
    ledger = Ledger(1)
    consumer = await start(ledger, ack_wait_s=0.5)
    await ledger.entered.wait()
    assert await pending(consumer) == 1
    await bus.ensure_streams([DLQ])
    letters = await bus.jetstream.subscribe("dlq.>", ordered_consumer=True)
    await letters.next_msg(timeout=10)
    await eventually(nothing_waits(consumer))


async def test_a_batch_under_way_at_the_stop_goes_to_whoever_comes_next(bus: Bus, start: Start) -> None:
    await publish(bus, "1", "2")
    hanging, ledger = Ledger(2), Ledger(2)
    hanging.hangs = True
    first = await start(hanging, ack_wait_s=0.5)
    await hanging.entered.wait()
    await first.stop()
    await start(ledger)
    await ledger.complete.wait()
    assert hanging.applied == []
    assert sorted(ledger.applied) == ["1", "2"]


async def test_a_consumer_goes_on_after_the_broker_was_killed(nats_server: EmbeddedNats) -> None:
    bus = await Bus.connect(nats_server.url(OWN_USER), "tests")
    await bus.ensure_streams(STREAMS)
    ledger = Ledger(2)
    consumer = DurableConsumer(bus, BILLING, "ledger", msgspec.msgpack.Decoder(Fact).decode, ledger.apply)
    await consumer.start()
    back = asyncio.Event()

    async def on_return() -> None:
        back.set()

    bus.on_reconnect(on_return)
    await publish(bus, "1")
    await ledger.entered.wait()
    nats_server.kill()
    await asyncio.to_thread(nats_server.start)
    await back.wait()
    await publish(bus, "2")
    await ledger.complete.wait()
    assert set(ledger.applied) == {"1", "2"}
    await consumer.stop()
    await bus.close()


async def test_what_takes_long_is_not_sent_again_while_it_is_in_hand(start: Start, bus: Bus) -> None:
    ledger = Ledger(2)
    release = asyncio.Event()
    apply = ledger.apply

    async def slowly(facts: Sequence[Fact]) -> None:
        ledger.entered.set()
        await release.wait()
        await apply(facts)

    ledger.apply = slowly  # type: ignore[method-assign]
    consumer = await start(ledger, ack_wait_s=0.6)
    await publish(bus, "a", "b")
    await ledger.entered.wait()
    await asyncio.sleep(1.5)  # reason: longer than the broker waits for an acknowledgement
    release.set()
    await ledger.complete.wait()
    await consumer.stop()
    assert sorted(ledger.applied) == ["a", "b"]
    info = await bus.jetstream.consumer_info(BILLING.name, "ledger")
    assert info.num_redelivered == 0
