"""The proxies do to connections what they say, and nothing else."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import pytest

from chaos.proxy import Framer, Link, Proxies
from common.testing.server_process import LOCALHOST

FIRST = b"HPUB intake.usage.r1 _INBOX.a 29 31\r\nNATS/1.0\r\nNats-Msg-Id: ab\r\n\r\nhi\r\n"
SECOND = b"PUB rpc.billing.lease.request.v1 _INBOX.b 3\r\nyou\r\n"
OTHER = b"PUB _INBOX.c 2\r\nok\r\n"


class Echo:
    """A server that sends back what it is sent."""

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0


@pytest.fixture
def proxies() -> Iterator[Proxies]:
    """Started, without links."""
    running = Proxies()
    running.start()
    yield running
    running.stop()


@asynccontextmanager
async def echo_server() -> AsyncIterator[Echo]:
    """Listening on a port of its own; every connection has ended when it is left."""
    echo = Echo()
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        echo.connections += 1
        with suppress(ConnectionError):
            while data := await reader.read(1000):
                writer.write(data)
        await closed(writer)

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_server(accept, LOCALHOST, 0)
    echo.port = server.sockets[0].getsockname()[1]
    yield echo
    server.close()
    if serving:
        await asyncio.wait(serving)


async def exchange(link: Link, data: bytes, size: int, timeout_s: float = 5) -> bytes:
    """What comes back for `data`, `size` bytes of it."""
    reader, writer = await asyncio.open_connection(LOCALHOST, link.port)
    try:
        writer.write(data)
        return await asyncio.wait_for(reader.readexactly(size), timeout_s)
    finally:
        await closed(writer)


async def closed(writer: asyncio.StreamWriter) -> None:
    """Close, whatever the other side did."""
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


def test_commands_are_told_apart_wherever_the_stream_is_split() -> None:
    stream = b"CONNECT {}\r\nPING\r\n" + FIRST + SECOND + OTHER
    for size in (1, 7, 30, len(stream)):
        framer = Framer()
        found: list[tuple[bytes, bytes]] = []
        for start in range(0, len(stream), size):
            found += framer.feed(stream[start : start + size])
        assert [subject for subject, _ in found] == [
            b"", b"", b"intake.usage.r1", b"rpc.billing.lease.request.v1", b"_INBOX.c",
        ]  # fmt: skip
        assert b"".join(frame for _, frame in found) == stream


async def test_a_healthy_link_carries_everything(proxies: Proxies) -> None:
    async with echo_server() as echo:
        link = proxies.add("a>nats", echo)
        assert await exchange(link, FIRST + OTHER, len(FIRST + OTHER)) == FIRST + OTHER


async def test_a_cut_link_resets_and_refuses_until_it_is_healed(proxies: Proxies) -> None:
    async with echo_server() as echo:
        link = proxies.add("a>postgres", echo)
        reader, writer = await asyncio.open_connection(LOCALHOST, link.port)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        link.cut()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(1), 5)
        await closed(writer)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await exchange(link, b"hello", 5)
        assert echo.connections == 1
        link.heal()
        assert await exchange(link, b"hello", 5) == b"hello"


async def test_a_frozen_link_keeps_the_connection_and_carries_on_later(proxies: Proxies) -> None:
    async with echo_server() as echo:
        link = proxies.add("a>postgres", echo)
        reader, writer = await asyncio.open_connection(LOCALHOST, link.port)
        link.freeze()
        writer.write(b"hello")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readexactly(5), 0.2)
        link.heal()
        assert await asyncio.wait_for(reader.readexactly(5), 5) == b"hello"
        await closed(writer)


async def test_messages_are_doubled_under_another_id(proxies: Proxies) -> None:
    async with echo_server() as echo:
        link = proxies.add("a>nats", echo)
        link.disorder("duplicate")
        twice = FIRST + FIRST.replace(b": ab", b": a0") + OTHER + SECOND * 2
        assert await exchange(link, FIRST + OTHER + SECOND, len(twice)) == twice


async def test_a_message_is_overtaken_or_goes_alone_in_the_end(proxies: Proxies) -> None:
    async with echo_server() as echo:
        link = proxies.add("a>nats", echo)
        link.disorder("reorder")
        stream = FIRST + OTHER + SECOND
        assert await exchange(link, stream, len(stream)) == OTHER + SECOND + FIRST
        assert await exchange(link, FIRST, len(FIRST)) == FIRST
