"""A NATS client that costs its process a few microseconds a message, so that a load generator on the same
cores as what it measures takes little of them.

It knows user and password, PUB, SUB, MSG and HMSG, and no more: a lost connection ends the measurement.
"""

import asyncio
from collections.abc import Callable
from typing import Self, cast
from urllib.parse import urlsplit

import msgspec

Handler = Callable[[bytes, bytes, bytes], None]
"""Called with subject, header block (empty without one) and payload."""


class Wire(asyncio.Protocol):
    """One connection; what is published in one turn of the loop leaves in one write."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._buffer = b""
        self._handlers: dict[bytes, Handler] = {}
        self._out: list[bytes] = []
        self._loop = asyncio.get_running_loop()
        self._pong: asyncio.Future[None] | None = None
        self._closing = False
        self.failure = ""

    @classmethod
    async def connect(cls, url: str) -> Self:
        """Connect to `nats://user:password@host:port`; ConnectionError when refused."""
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 4222
        _, wire = await asyncio.get_running_loop().create_connection(cls, host, port)
        hello: dict[str, object] = {
            "user": parts.username,
            "pass": parts.password,
            "verbose": False,
            "pedantic": False,
        }
        hello |= {"headers": True, "no_responders": True, "lang": "bench", "version": "1", "protocol": 1}
        wire.send(b"CONNECT " + msgspec.json.encode(hello) + b"\r\n")
        await wire.flush()
        return wire

    def publish(self, subject: bytes, payload: bytes, reply: bytes = b"") -> None:
        """Send a message; nobody confirms it."""
        self.send(b"PUB %b %b %d\r\n%b\r\n" % (subject, reply, len(payload), payload))

    def subscribe(self, subject: str, handler: Handler) -> None:
        """Hand every message of `subject` to `handler`."""
        number = b"%d" % (len(self._handlers) + 1)
        self._handlers[number] = handler
        self.send(b"SUB %b %b\r\n" % (subject.encode(), number))

    async def flush(self) -> None:
        """Return when the broker has read all that was sent."""
        self._pong = self._loop.create_future()
        self.send(b"PING\r\n")
        async with asyncio.timeout(10):
            await self._pong
        if self.failure:
            raise ConnectionError(self.failure)

    def close(self) -> None:
        """Close at once."""
        self._closing = True
        self._transport.close()

    def send(self, frame: bytes) -> None:
        """Send protocol lines as they are."""
        if not self._out:
            self._loop.call_soon(self._write)
        self._out.append(frame)

    def _write(self) -> None:
        frames, self._out = self._out, []
        self._transport.write(b"".join(frames))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio's."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not derived from asyncio's

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio's: what waits would wait for ever."""
        if not self._closing:
            raise SystemExit(f"the broker closed the connection: {exc or self.failure}")

    def data_received(self, data: bytes) -> None:
        """asyncio's: hand over every message that is complete."""
        buffer = self._buffer + data if self._buffer else data
        start = 0
        while (end := buffer.find(b"\r\n", start)) >= 0:
            kind = buffer[start : start + 4]
            if kind in {b"MSG ", b"HMSG"}:
                words = buffer[start:end].split(b" ")
                stop = end + 2 + int(words[-1])
                if len(buffer) < stop + 2:
                    break
                body = end + 2 + (int(words[-2]) if kind == b"HMSG" else 0)
                self._handlers[words[2]](words[1], buffer[end + 2 : body], buffer[body:stop])
                start = stop + 2
                continue
            self._control(kind, buffer[start:end])
            start = end + 2
        self._buffer = buffer[start:]

    def _control(self, kind: bytes, line: bytes) -> None:
        if kind == b"PING":
            self.send(b"PONG\r\n")
        elif kind == b"PONG" and self._pong is not None and not self._pong.done():
            self._pong.set_result(None)
        elif kind == b"-ERR":
            self.failure = line.decode()
