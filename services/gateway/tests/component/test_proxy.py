"""Bytes through the gateway: as they are, as they come, and never a truncated answer that looks whole."""

import asyncio
import hashlib
from typing import Any

import httpx
import pytest

CHAT = "/v1/chat/completions"
SSE = [(b"content-type", b"text/event-stream")]


class Steps:
    """An answer sent one chunk at a time, each when the test says so."""

    def __init__(self, headers: Any = SSE, status: int = 200) -> None:
        self.headers = headers
        self.status = status
        self.chunks: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.disconnected = asyncio.Event()

    async def __call__(self, _scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        watch = asyncio.create_task(self._watch(receive))
        try:
            await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
            while (chunk := await self.chunks.get()) is not None:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body"})
        finally:
            watch.cancel()

    async def _watch(self, receive: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.disconnected.set()


def _port(suite: Any) -> int:
    port: int = suite.admin.base_url.port
    return port


async def _raw_request(suite: Any) -> Any:
    """A connection with one request on its way."""
    reader, writer = await asyncio.open_connection("127.0.0.1", _port(suite))
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {suite.admin_key}\r\n".encode()
    writer.write(head + b"content-length: 2\r\n\r\n{}")
    return reader, writer


async def test_chunks_arrive_one_by_one_as_they_are_sent(suite: Any) -> None:
    suite.service.app = steps = Steps()
    async with suite.admin.stream("POST", CHAT, json={}) as answer:
        assert answer.status_code == 200
        received = answer.aiter_raw()
        for number in range(20):
            chunk = b"data: %d\n\n" % number
            steps.chunks.put_nowait(chunk)
            async with asyncio.timeout(5):
                assert await anext(received) == chunk
        steps.chunks.put_nowait(None)
        assert [rest async for rest in received] == []


async def test_a_large_body_passes_both_ways_unchanged(suite: Any) -> None:
    async def echo(_scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message["body"]
            if not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    suite.service.app = echo
    body = hashlib.shake_128(b"seed").digest(5 * 2**20)
    sized = await suite.admin.post(CHAT, content=body)
    assert sized.content == body

    async def pieces() -> Any:
        for start in range(0, len(body), 100_000):
            yield body[start : start + 100_000]

    chunked = await suite.admin.post(CHAT, content=pieces())
    assert chunked.content == body
    assert b"content-length" not in suite.service.headers()
    assert suite.service.headers()[b"transfer-encoding"] == [b"chunked"]


async def test_a_body_reaches_the_service_before_the_client_has_sent_all_of_it(suite: Any) -> None:
    seen: asyncio.Queue[bytes] = asyncio.Queue()

    async def read(_scope: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            message = await receive()
            seen.put_nowait(message["body"])
            more = message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    suite.service.app = read

    async def pieces() -> Any:
        for number in range(3):
            yield b"piece %d" % number
            async with asyncio.timeout(5):
                assert await seen.get() == b"piece %d" % number

    answer = await suite.admin.post(CHAT, content=pieces())
    assert answer.content == b"done"


async def test_path_query_and_headers_go_on_as_they_were_written(suite: Any) -> None:
    path = "/v1/models/a%2Fb/../c%20d//e?x=%2F..&y=a+b&x=2"
    reader, writer = await asyncio.open_connection("127.0.0.1", _port(suite))
    head = f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-api-key: {suite.admin_key}\r\n\r\n"
    writer.write(head.encode())
    assert (await reader.read()).startswith(b"HTTP/1.1 200")
    writer.close()
    scope = suite.service.scopes[-1]
    assert scope["raw_path"] + b"?" + scope["query_string"] == path.encode()
    headers = [("anthropic-beta", "a,b"), ("x-custom", "1"), ("x-custom", "2"), ("user-agent", "mine")]
    await suite.admin.post(CHAT, headers=headers, content=b"{}")
    seen = suite.service.headers()
    assert seen[b"x-custom"] == [b"1", b"2"]
    assert seen[b"anthropic-beta"] == [b"a,b"]
    assert seen[b"user-agent"] == [b"mine"]
    assert seen[b"content-length"] == [b"2"]
    assert b"content-type" not in seen


async def test_the_answers_status_and_repeated_headers_come_back(suite: Any) -> None:
    headers = [
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"content-encoding", b"x-unknown"),
        (b"access-control-allow-origin", b"https://only.example"),
        (b"x-request-id", b"of-the-service"),
        (b"keep-alive", b"timeout=5"),
        (b"content-length", b"3"),
    ]
    suite.service.app = steps = Steps(headers, 418)
    steps.chunks.put_nowait(b"\xff\x00\xfe")
    steps.chunks.put_nowait(None)
    async with suite.admin.stream("POST", CHAT, json={}) as answer:
        raw = b"".join([chunk async for chunk in answer.aiter_raw()])
    assert (answer.status_code, raw) == (418, b"\xff\x00\xfe")
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert answer.headers.get_list("access-control-allow-origin") == ["*"]
    assert "of-the-service" not in answer.headers.get_list("x-request-id")
    assert "keep-alive" not in answer.headers
    assert len(answer.headers.get_list("date")) == 1


async def test_a_client_gone_before_the_first_byte_is_seen_by_the_service(suite: Any) -> None:
    started, gone = asyncio.Event(), asyncio.Event()

    async def wait(_scope: Any, receive: Any, _send: Any) -> None:
        await receive()
        started.set()
        assert (await receive())["type"] == "http.disconnect"
        gone.set()

    suite.service.app = wait
    _, writer = await _raw_request(suite)
    async with asyncio.timeout(5):
        await started.wait()
        writer.close()
        await gone.wait()


async def test_a_client_gone_in_mid_stream_is_seen_by_the_service(suite: Any) -> None:
    suite.service.app = steps = Steps()
    reader, writer = await _raw_request(suite)
    steps.chunks.put_nowait(b"data: 1\n\n")
    async with asyncio.timeout(5):
        await reader.readuntil(b"data: 1\n\n")
        writer.close()
        await steps.disconnected.wait()


@pytest.mark.parametrize(
    "framing",
    [b"content-length: 1000\r\n\r\n{}", b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n"],
    ids=["sized", "chunked"],
)
async def test_half_a_body_is_never_whole_for_the_service(suite: Any, framing: bytes) -> None:
    started, gone, whole = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def read(_scope: Any, receive: Any, _send: Any) -> None:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                gone.set()
                return
            if not message["more_body"]:
                whole.set()
            started.set()

    suite.service.app = read
    _, writer = await asyncio.open_connection("127.0.0.1", _port(suite))
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {suite.admin_key}\r\n".encode()
    writer.write(head + framing)
    async with asyncio.timeout(5):
        await started.wait()
        writer.close()
        await gone.wait()
    assert not whole.is_set()


@pytest.mark.parametrize("headers", [SSE, [*SSE, (b"content-length", b"1000")]], ids=["chunked", "sized"])
async def test_an_answer_that_breaks_off_is_never_complete_for_the_client(suite: Any, headers: Any) -> None:
    cut: asyncio.Queue[None] = asyncio.Queue()

    async def leave_open(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        await cut.get()  # the server closes the connection of an app that leaves its answer open

    suite.service.app = leave_open
    reader, writer = await _raw_request(suite)
    async with asyncio.timeout(5):
        received = await reader.readuntil(b"data: 1\n\n")
        cut.put_nowait(None)
        received += await reader.read()
    writer.close()
    assert received.startswith(b"HTTP/1.1 200")
    assert not received.endswith(b"0\r\n\r\n")
    cut.put_nowait(None)
    with pytest.raises(httpx.RemoteProtocolError):
        await suite.admin.post(CHAT, json={})


async def test_a_service_that_dies_before_it_answers_is_told_as_an_error(suite: Any) -> None:
    async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(die, "127.0.0.1")
    async with server:
        port = server.sockets[0].getsockname()[1]
        replica = await suite.start(chat_relay_url=f"http://127.0.0.1:{port}")
        answer = await replica.post(CHAT, json={})
    assert answer.status_code == 502
    assert answer.json()["error"]["code"] == "upstream_error"
    assert answer.headers["x-should-retry"] == "true"
    assert answer.headers["x-request-id"] in answer.text


async def test_a_slow_reader_slows_the_service_and_not_the_memory(suite: Any) -> None:
    sent = 0
    chunk = b"x" * 65536

    async def flood(_scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": SSE})
        for _ in range(1600):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            sent += 1
        await send({"type": "http.response.body"})

    suite.service.app = flood
    reader, writer = await _raw_request(suite)
    await reader.readexactly(100)
    before = -1
    while before != sent:
        before = sent
        await asyncio.sleep(0.3)  # reason: the proof is that nothing moves while nobody reads
    assert 0 < sent < 400, "about 100 MiB were taken from the service for a client that reads nothing"
    writer.close()


async def test_an_early_answer_to_a_large_body_reaches_the_client(suite: Any) -> None:
    async def refuse(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"3")]})
        await send({"type": "http.response.body", "body": b"big"})

    suite.service.app = refuse
    answer = await suite.admin.post(CHAT, content=b"x" * 100_000)
    assert (answer.status_code, answer.content) == (413, b"big")


async def test_head_and_empty_answers_pass(suite: Any) -> None:
    async def empty(scope: Any, _receive: Any, send: Any) -> None:
        status = 200 if scope["method"] == "HEAD" else 204
        headers = [(b"content-length", b"5")] if status == 200 else []
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body"})

    suite.service.app = empty
    head = await suite.admin.head("/v1/models")
    assert (head.status_code, head.headers["content-length"]) == (200, "5")
    assert (await suite.admin.delete("/v1/models/x")).status_code == 204


async def test_a_trace_is_passed_through(suite: Any) -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await suite.admin.get("/v1/models", headers={"traceparent": traceparent, "tracestate": "a=1"})
    assert suite.service.headers()[b"traceparent"] == [traceparent.encode()]
    assert suite.service.headers()[b"tracestate"] == [b"a=1"]
