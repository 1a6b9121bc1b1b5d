"""The client to the services, against a peer that writes whatever the test wants on the wire."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from common.contracts.errors import UnavailableError, UpstreamError
from common.kit.asgi import ClientGoneError
from gateway.adapters.http_connection import ServiceConnection
from gateway.adapters.http_services import HttpServices
from gateway.domain.errors import AnswerCutError

Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@asynccontextmanager
async def services(peer: Peer, concurrency: int = 10) -> AsyncIterator[HttpServices]:
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            await peer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    async with server, HttpServices({"chat-relay": f"http://127.0.0.1:{port}/base/"}, concurrency) as client:
        yield client
    for writer in writers:
        with suppress(AttributeError):  # asyncio's own, when the transport is gone already
            writer.transport.abort()
    closing = (writer.wait_closed() for writer in writers)
    await asyncio.gather(*closing, return_exceptions=True)
    await asyncio.sleep(0)  # reason: a closed transport is let go at the loop's next turn


async def get(
    client: HttpServices, method: str = "GET", body: Any = b"", length: Any = None
) -> ServiceConnection:
    async with asyncio.timeout(5):
        return await client.send("chat-relay", method, b"/path?x=1", [(b"x-a", b"1")], body, length)


async def rest(answer: ServiceConnection) -> bytes:
    """The whole body, and the connection given back."""
    chunks = [answer.ready()]
    async with asyncio.timeout(10):
        while chunk := await answer.next():
            chunks.append(chunk)
    answer.close()
    return b"".join(chunks)


def answering(*answers: bytes, seen: list[bytes] | None = None) -> Peer:
    """One answer for each request head, over any number of connections."""
    left = list(answers)

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while left:
            head = await reader.readuntil(b"\r\n\r\n")
            if seen is not None:
                seen.append(head)
            writer.write(left.pop(0))

    return peer


async def test_a_connection_serves_one_request_after_another() -> None:
    connections: list[ServiceConnection] = []
    seen: list[bytes] = []
    chunked = b"HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"
    async with services(answering(OK, chunked, OK, seen=seen)) as client:
        for status, body in ((200, b"ok"), (201, b"abc"), (200, b"ok")):
            answer = await get(client)
            assert answer.status == status
            assert await rest(answer) == body
            connections.append(answer)
    assert len({id(connection) for connection in connections}) == 1
    assert seen[0] == seen[2]
    assert seen[0].startswith(b"GET /base/path?x=1 HTTP/1.1\r\nhost: 127.0.0.1:")
    assert seen[0].endswith(b"\r\nx-a: 1\r\n\r\n")


async def test_interim_answers_are_passed_over() -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
    async with services(answering(interim + OK)) as client:
        answer = await get(client)
        assert (answer.status, list(answer.headers)) == (200, [(b"content-length", b"2")])
        assert await rest(answer) == b"ok"


@pytest.mark.parametrize("extra", [b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbad", b"garbage"])
async def test_bytes_after_the_answer_reach_nobody(extra: bytes) -> None:
    async with services(answering(OK + extra, OK)) as client:
        first = await get(client)
        assert await rest(first) == b"ok"
        second = await get(client)
        assert second is not first
        assert await rest(second) == b"ok"


async def test_an_answer_to_no_question_ends_the_idle_connection() -> None:
    speak, silenced = asyncio.Event(), asyncio.Event()
    heads = 0

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal heads
        await reader.readuntil(b"\r\n\r\n")
        heads += 1
        writer.write(OK)
        if heads == 1:
            await speak.wait()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
            await reader.read()
            silenced.set()

    async with services(peer) as client:
        first = await get(client)
        assert await rest(first) == b"ok"
        speak.set()
        async with asyncio.timeout(5):
            await silenced.wait()
        assert await rest(await get(client)) == b"ok"


@pytest.mark.parametrize(
    "cut",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\nnot hex\r\n",
    ],
)
async def test_an_answer_without_its_end_is_cut(cut: bytes) -> None:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(cut)

    async with services(peer) as client:
        answer = await get(client)
        with pytest.raises(AnswerCutError):
            await rest(answer)
        answer.close()


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\ncontent-len", b"garbage\r\n\r\n"])
async def test_a_service_that_dies_before_its_answer_is_told_apart_from_one_that_is_away(said: bytes) -> None:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)

    async with services(peer) as client:
        with pytest.raises(UpstreamError):
            await get(client)
    with pytest.raises(UnavailableError):
        await get(client)
    with pytest.raises(UnavailableError):
        await client.send("billing", "GET", b"/", [], b"", None)


async def test_an_answer_to_head_has_no_body_whatever_it_says() -> None:
    async with services(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", OK)) as client:
        answer = await get(client, "HEAD")
        assert answer.at_end
        assert await rest(answer) == b""
        assert await rest(await get(client)) == b"ok"


@pytest.mark.parametrize(
    ("status", "body"), [(b"204 No Content", b""), (b"304 Not Modified", b""), (b"200 OK", b"ok")]
)
async def test_a_connection_the_service_wants_closed_is_not_used_again(status: bytes, body: bytes) -> None:
    head = b"HTTP/1.1 %b\r\nconnection: close\r\n" % status
    answer_bytes = head + (b"content-length: 2\r\n\r\nok" if body else b"\r\n")
    async with services(answering(answer_bytes, answer_bytes)) as client:
        first = await get(client)
        assert await rest(first) == body
        assert not first.reusable
        assert await rest(await get(client)) == body


async def test_bodies_are_framed_as_the_client_framed_them() -> None:
    received: list[bytes] = []

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for ending in (b"END", b"END", b"0\r\n\r\n"):
            data = await reader.readuntil(ending)
            received.append(data.partition(b"x-a: 1\r\n")[2])
            writer.write(OK)

    async def pieces() -> AsyncIterator[bytes]:
        yield b"one "
        yield b"END"

    async with services(peer) as client:
        for body, length in ((b"one END", None), (pieces(), b"7"), (pieces(), None)):
            assert await rest(await get(client, "POST", body, length)) == b"ok"
    assert received == [
        b"content-length: 7\r\n\r\none END",
        b"content-length: 7\r\n\r\none END",
        b"transfer-encoding: chunked\r\n\r\n4\r\none \r\n3\r\nEND\r\n0\r\n\r\n",
    ]


async def test_a_body_that_breaks_off_has_no_end_for_the_service() -> None:
    received: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def peer(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        data = await reader.readuntil(b"half\r\n")
        try:
            data += await reader.read()
        except ConnectionError:
            data += b"(reset)"
        received.set_result(data)

    async def pieces() -> AsyncIterator[bytes]:
        yield b"half"
        await asyncio.sleep(0)  # reason: the first half is on its way
        raise ClientGoneError

    async with services(peer) as client:
        with pytest.raises(UpstreamError):
            await get(client, "POST", pieces())
        async with asyncio.timeout(5):
            assert b"0\r\n\r\n" not in await received


async def test_an_early_answer_ends_the_sending_and_the_connection() -> None:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig")
        await reader.read()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1000
            await asyncio.sleep(0)  # reason: as a network does, between two reads

    async with services(peer) as client:
        answer = await get(client, "POST", endless())
        assert answer.status == 413
        assert await rest(answer) == b"big"
        assert not answer.reusable


async def test_a_request_that_is_given_up_is_seen_by_the_service() -> None:
    gone = asyncio.Event()

    async def peer(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        started.set()
        try:
            await reader.read()
        finally:
            gone.set()

    started = asyncio.Event()
    async with services(peer, concurrency=1) as client:
        task = asyncio.create_task(get(client))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(5):
            await gone.wait()
        assert not client._places.locked()


async def test_only_so_many_requests_run_at_a_time() -> None:
    async with services(answering(OK, OK), concurrency=1) as client:
        first = await get(client)
        waiting = asyncio.create_task(get(client))
        await asyncio.sleep(0)  # reason: lets it begin to wait
        assert not waiting.done()
        assert await rest(first) == b"ok"
        assert await rest(await waiting) == b"ok"


async def test_what_nobody_reads_is_not_taken_from_the_service() -> None:
    sent = 0
    full = asyncio.Event()

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (1000 * 65536))
        for _ in range(1000):
            writer.write(b"x" * 65536)
            try:
                async with asyncio.timeout(0.5):
                    await writer.drain()
            except TimeoutError:
                full.set()
                await writer.drain()
            sent += 1

    async with services(peer) as client:
        answer = await get(client)
        async with asyncio.timeout(5):
            await full.wait()
        assert sent < 300
        assert answer._buffered_bytes < 1_000_000
        assert len(await rest(answer)) == 1000 * 65536
