"""The outbox: every event once and in order, whatever happens to the broker."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

import msgspec
import pytest
from nats.aio.msg import Msg
from sqlalchemy import text

from common.contracts.streams import STREAMS, event_subject
from common.kit import outbox
from common.kit.bus import Bus
from common.kit.db import Database
from common.kit.ids import uuid7
from common.kit.outbox import OutboxEvent, OutboxPublisher, append, packets
from common.testing.nats import EmbeddedNats
from common.testing.plugin import OWN_USER

Eventually = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def events(first: int, last: int, kind: str = "billing.balance.low.v1") -> list[OutboxEvent]:
    return [
        OutboxEvent(uuid7(), event_subject(kind, "a"), number, b"%d" % number)
        for number in range(first, last + 1)
    ]


async def write(database: Database, written: list[OutboxEvent]) -> None:
    async with database.transaction() as connection:
        await append(connection, written)


async def unpublished(database: Database) -> int:
    async with database.transaction() as connection:
        return int((await connection.execute(text("SELECT count(*) FROM outbox"))).scalar_one())


def waiting(written: list[OutboxEvent]) -> Any:
    """What the publisher makes of the rows they were written to."""
    stored = msgspec.json.decode(packets(written)[0], type=list[outbox._Stored])
    return [(event, "2026-01-01T00:00:00+00:00") for event in stored]


async def read(bus: Bus, count: int) -> list[Msg]:
    """The first `count` messages of BILLING, and the proof that there are no more."""
    subscription = await bus.jetstream.subscribe("billing.>", ordered_consumer=True)
    messages = [await subscription.next_msg(timeout=20) for _ in range(count)]
    await subscription.unsubscribe()
    info = await bus.jetstream.stream_info("BILLING")
    assert info.state.messages == count
    return messages


@pytest.fixture
async def publisher(kit_database: Database, bus: Bus) -> AsyncIterator[OutboxPublisher]:
    running = OutboxPublisher(kit_database, bus, "billing", batch=50)
    yield running
    await running.stop()


async def test_events_are_published_in_order_as_cloudevents(
    kit_database: Database, bus: Bus, publisher: OutboxPublisher, eventually: Eventually
) -> None:
    await publisher.start()
    written = [*events(1, 2), *events(3, 3, "billing.topup.completed.v1")]
    written[1] = OutboxEvent(written[1].id, written[1].subject, 2, b"2", TRACEPARENT)
    await write(kit_database, written)
    publisher.notify()
    messages = await read(bus, 3)
    assert [message.data for message in messages] == [b"1", b"2", b"3"]
    headers = messages[2].headers or {}
    assert datetime.fromisoformat(headers.pop("ce-time")).tzinfo is not None
    assert headers == {
        "Nats-Expected-Last-Msg-Id": written[1].id,
        "Nats-Msg-Id": written[2].id,
        "Content-Type": "application/json",
        "ce-specversion": "1.0",
        "ce-id": written[2].id,
        "ce-source": "/tollway/billing",
        "ce-type": "billing.topup.completed.v1",
        "ce-subject": "a",
        "ce-sequence": "00000000000000000003",
    }
    assert "traceparent" not in (messages[0].headers or {})
    assert (messages[1].headers or {})["traceparent"] == TRACEPARENT

    async def emptied() -> bool:
        return await unpublished(kit_database) == 0

    await eventually(emptied)


async def test_what_is_rolled_back_was_never_an_event(
    kit_database: Database, bus: Bus, publisher: OutboxPublisher
) -> None:
    with suppress(KeyError):
        async with kit_database.transaction() as connection:
            await append(connection, events(1, 3))
            raise KeyError
    await write(kit_database, events(4, 4))
    await publisher.start()
    assert [message.data for message in await read(bus, 1)] == [b"4"]


async def test_a_crash_between_publishing_and_forgetting_repeats_nothing(
    kit_database: Database, bus: Bus, publisher: OutboxPublisher, eventually: Eventually
) -> None:
    written = events(1, 5)
    await write(kit_database, written)
    assert await publisher._publish(waiting(written[:3])) == set()
    await publisher.start()

    async def emptied() -> bool:
        return await unpublished(kit_database) == 0

    await eventually(emptied)
    assert [message.data for message in await read(bus, 5)] == [b"1", b"2", b"3", b"4", b"5"]


async def test_an_event_that_was_lost_is_not_overtaken(
    kit_database: Database, bus: Bus, publisher: OutboxPublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = [*events(1, 4), *events(1, 1, "usage.recorded.v1")]
    await write(kit_database, written)
    send = bus.client._send_command
    lost = [b"2\r\n"]

    async def lossy(command: bytes, *, priority: bool = False) -> None:
        if command.startswith(b"HPUB billing") and lost:
            frames = [b"HPUB " + frame for frame in command.split(b"HPUB ")[1:]]
            command = b"".join(frame for frame in frames if not frame.endswith(lost[0]))
            lost.clear()
        await send(command, priority)

    monkeypatch.setattr(
        bus.client, "_send_command", lossy
    )  # as the socket that a killed broker leaves behind
    left = await publisher._publish(waiting(written))
    assert left == {event.id for event in written[:4]}
    assert (await bus.jetstream.stream_info("BILLING")).state.messages == 1
    assert (await bus.jetstream.stream_info("USAGE")).state.messages == 1
    await publisher.start()
    assert [message.data for message in await read(bus, 4)] == [b"1", b"2", b"3", b"4"]


async def test_two_publishers_do_not_reorder(kit_database: Database, bus: Bus, nats_url: str) -> None:
    other_bus = await Bus.connect(nats_url, "other")
    publishers = [OutboxPublisher(kit_database, each, "billing", batch=7) for each in (bus, other_bus)]
    for publisher in publishers:
        await publisher.start()
    for first in range(1, 300, 20):
        await write(kit_database, events(first, first + 19))
        for publisher in publishers:
            publisher.notify()
    messages = await read(bus, 300)
    assert [int(message.data) for message in messages] == list(range(1, 301))
    for publisher in publishers:
        await publisher.stop()
    await other_bus.close()


async def test_events_written_while_the_broker_is_killed_arrive_in_order(
    kit_database: Database, nats_server: EmbeddedNats, eventually: Eventually
) -> None:
    bus = await Bus.connect(nats_server.url(OWN_USER), "tests")
    await bus.ensure_streams(STREAMS)
    publisher = OutboxPublisher(kit_database, bus, "billing", batch=50)
    await publisher.start()
    for first in range(1, 2000, 50):
        await write(kit_database, events(first, first + 49))
        publisher.notify()
        if first in (501, 1201):
            nats_server.kill()
        if first in (801, 1401):
            await asyncio.to_thread(nats_server.start)

    async def emptied() -> bool:
        return await unpublished(kit_database) == 0

    await eventually(emptied)
    assert [int(message.data) for message in await read(bus, 2000)] == list(range(1, 2001))
    await publisher.stop()
    await bus.close()


async def test_an_idle_publisher_leaves_nothing_behind(
    publisher: OutboxPublisher, eventually: Eventually
) -> None:
    async def idle() -> bool:
        return bool(publisher._wake._waiters)

    await publisher.start()
    await eventually(idle)
    await publisher.stop()
    waiting = [task for task in asyncio.all_tasks() if "Event.wait" in repr(task.get_coro())]
    assert waiting == []
