"""A load generator that costs as little as it can: hand-written HTTP/1.1 over asyncio protocols.

It shares two cores with what it measures, so it parses only what tells where an answer ends.
"""

import asyncio
import time
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit


class LoadError(Exception):
    """An answer was not 200, or a connection broke: a figure taken over errors would be worthless."""


@dataclass
class Sample:
    """One round of one kind of request: seconds from sending to first body byte and to the end."""

    first_byte_s: list[float] = field(default_factory=list)
    total_s: list[float] = field(default_factory=list)
    elapsed_s: float = 0.0

    @property
    def requests(self) -> int:
        """How many were answered."""
        return len(self.total_s)


class _Connection(asyncio.Protocol):
    """One keep-alive connection; one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._done: asyncio.Future[None] | None = None
        self._reset()

    def _reset(self) -> None:
        self._head = b""
        self._in_body = False
        self._remaining = 0
        self._chunked = False
        self._tail = b""
        self.first_byte_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(LoadError(f"connection lost: {exc!r} {self._head[:200]!r}"))

    def data_received(self, data: bytes) -> None:
        if not self._in_body:
            data = self._read_head(data)
            if not data:
                return
        if not self.first_byte_at:
            self.first_byte_at = time.perf_counter()
        if self._chunked:
            self._tail = (self._tail + data)[-7:]
            if self._tail.endswith(b"\r\n0\r\n\r\n"):
                self._finish()
        else:
            self._remaining -= len(data)
            if self._remaining <= 0:
                self._finish()

    def _read_head(self, data: bytes) -> bytes:
        self._head += data
        head, separator, body = self._head.partition(b"\r\n\r\n")
        if not separator:
            return b""
        self._in_body = True
        lowered = head.lower()
        if b" 200 " not in head[:16]:
            self._fail(LoadError(f"not 200: {head[:80]!r} {body[:300]!r}"))
            return b""
        self._chunked = b"\r\ntransfer-encoding: chunked" in lowered
        if not self._chunked:
            self._remaining = int(lowered.split(b"\r\ncontent-length:")[1].split(b"\r\n")[0])
        return body

    def _finish(self) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_result(None)

    def _fail(self, error: Exception) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(error)

    async def ask(self, request: bytes) -> tuple[float, float]:
        """Send and wait for the end; seconds to first body byte and to the end."""
        assert self._transport is not None
        self._reset()
        self._done = asyncio.get_running_loop().create_future()
        started = time.perf_counter()
        self._transport.write(request)
        await self._done
        return self.first_byte_at - started, time.perf_counter() - started

    async def hold(self, request: bytes) -> None:
        """Send and leave the answer open; `close` ends it."""
        assert self._transport is not None
        self._reset()
        self._transport.write(request)

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()


@dataclass(frozen=True)
class Target:
    """Where requests go: base URL, bearer key, and model."""

    name: str
    url: str
    key: str
    model: str = "gpt-4o-mini"

    def request(self, *, stream: bool, model: str | None = None) -> bytes:
        """The bytes of one chat request of about 400 bytes."""
        parts = urlsplit(self.url)
        path = f"{parts.path}/chat/completions"
        tail = ',"stream":true' if stream else ""
        body = (
            f'{{"model":"{model or self.model}","max_tokens":256,"messages":[{{"role":"system","content":'
            '"You are a helpful assistant."},{"role":"user","content":"Say hello to the people who keep the '
            f'books, and explain in a few words why every request is worth its own line."}}]{tail}}}'
        ).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nhost: {parts.netloc}\r\nauthorization: Bearer {self.key}\r\n"
            "accept: application/json\r\nuser-agent: bench/1\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        ).encode()
        return head + body


async def connect(target: Target) -> _Connection:
    """A new connection to the target."""
    parts = urlsplit(target.url)
    loop = asyncio.get_running_loop()
    _, protocol = await loop.create_connection(_Connection, parts.hostname or "127.0.0.1", parts.port or 80)
    return protocol


async def run(target: Target, *, requests: int, concurrency: int, stream: bool) -> Sample:
    """Send `requests` over `concurrency` connections as fast as answers come; LoadError on any failure."""
    request = target.request(stream=stream)
    sample = Sample()
    left = requests

    async def worker() -> None:
        nonlocal left
        connection = await connect(target)
        while left > 0:
            left -= 1
            first, total = await connection.ask(request)
            sample.first_byte_s.append(first)
            sample.total_s.append(total)
        connection.close()

    started = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(concurrency)))
    sample.elapsed_s = time.perf_counter() - started
    return sample


async def hold_streams(target: Target, model: str, count: int) -> list[_Connection]:
    """Open `count` streams and leave them open."""
    request = target.request(stream=True, model=model)
    connections = []
    for _ in range(count):
        connection = await connect(target)
        await connection.hold(request)
        connections.append(connection)
    return connections
