"""The broker connection: patient through restarts, honest while it is away."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from common.contracts.errors import UnavailableError
from common.contracts.streams import BILLING, STREAMS, Stream
from common.kit.bus import Bus
from common.testing.nats import EmbeddedNats
from common.testing.plugin import OWN_USER

Eventually = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]


async def test_a_broker_that_starts_late_is_waited_for(nats_server: EmbeddedNats) -> None:
    nats_server.kill()
    connecting = asyncio.create_task(Bus.connect(nats_server.url(OWN_USER), "tests", timeout_s=20))
    await asyncio.to_thread(nats_server.start)
    bus = await connecting
    await bus.ping()
    await bus.close()


async def test_a_broker_that_never_starts_is_an_error_and_leaves_no_task(nats_server: EmbeddedNats) -> None:
    nats_server.kill()
    before = asyncio.all_tasks()
    with pytest.raises(UnavailableError, match="did not answer within"):
        await Bus.connect(nats_server.url(OWN_USER), "tests", timeout_s=0.5)
    assert asyncio.all_tasks() == before


async def test_a_wrong_password_is_an_error_and_leaves_no_task(nats_server: EmbeddedNats) -> None:
    before = asyncio.all_tasks()
    with pytest.raises(UnavailableError):
        await Bus.connect(f"nats://nobody:wrong@127.0.0.1:{nats_server.port}", "tests", timeout_s=0.5)
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("end", ["kill", "stop"])
async def test_everything_goes_on_when_the_broker_is_back(nats_server: EmbeddedNats, end: str) -> None:
    bus = await Bus.connect(nats_server.url(OWN_USER), "tests")
    await bus.ensure_streams(STREAMS)
    back = asyncio.Event()
    received: asyncio.Queue[bytes] = asyncio.Queue()

    async def on_return() -> None:
        back.set()

    async def on_message(message: Msg) -> None:
        received.put_nowait(message.data)

    bus.on_reconnect(on_return)
    await bus.subscribe("sample", on_message)
    await bus.publish("billing.x", b"before")
    await asyncio.to_thread(getattr(nats_server, end))
    with suppress(UnavailableError, NatsError):
        while True:  # the connection may take a moment to notice
            await bus.ping()
    await asyncio.to_thread(nats_server.start)
    await back.wait()
    await bus.ping()
    await bus.publish("billing.x", b"after")
    assert (await bus.jetstream.stream_info("BILLING")).state.messages == 2
    await bus.client.publish("sample", b"hello")
    assert await received.get() == b"hello"
    await bus.close()


async def test_a_callback_that_fails_is_tried_again_and_never_costs_the_connection(
    nats_server: EmbeddedNats,
) -> None:
    bus = await Bus.connect(nats_server.url(OWN_USER), "tests")
    failures = [RuntimeError("the database is away"), ConnectionRefusedError("so it is")]
    back = asyncio.Event()

    async def on_return() -> None:
        if failures:
            raise failures.pop()
        back.set()

    bus.on_reconnect(on_return)
    for _ in range(2):
        back.clear()
        await asyncio.to_thread(nats_server.kill)
        await asyncio.to_thread(nats_server.start)
        async with asyncio.timeout(8):
            await back.wait()
        await bus.ping()
    await bus.close()


async def test_closing_does_not_wait_for_a_broker_that_is_away(
    nats_server: EmbeddedNats, eventually: Eventually
) -> None:
    before = asyncio.all_tasks()
    bus = await Bus.connect(nats_server.url(OWN_USER), "tests")
    await bus.jetstream.publish_async("nothing", b"")
    nats_server.kill()
    async with asyncio.timeout(8):
        await bus.close()
        await bus.close()
    assert bus.client.is_closed

    async def nothing_runs() -> bool:
        return asyncio.all_tasks() == before

    await eventually(nothing_runs)


async def test_closing_delivers_what_was_published(bus: Bus, nats_url: str) -> None:
    other = await Bus.connect(nats_url, "other")
    received: asyncio.Queue[bytes] = asyncio.Queue()

    async def on_message(message: Msg) -> None:
        received.put_nowait(message.data)

    await bus.subscribe("sample", on_message)
    await bus.ping()
    await other.client.publish("sample", b"last words")
    await other.close()
    assert await received.get() == b"last words"


async def test_streams_are_made_once_and_an_operators_changes_stay(bus: Bus) -> None:
    await asyncio.gather(bus.ensure_streams(STREAMS), bus.ensure_streams(STREAMS))
    info = await bus.jetstream.stream_info("BILLING")
    await bus.jetstream.update_stream(info.config.evolve(max_age=3600))
    await bus.ensure_streams([Stream("BILLING", (*BILLING.subjects, "ledger.>"))])
    config = (await bus.jetstream.stream_info("BILLING")).config
    assert config.subjects == ["billing.>", "ledger.>"]
    assert config.max_age == 3600


async def test_an_event_that_no_stream_stores_is_an_error(bus: Bus) -> None:
    with pytest.raises(UnavailableError):
        await bus.publish("nowhere.at.all", b"")
