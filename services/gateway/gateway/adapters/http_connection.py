"""One kept-alive HTTP/1.1 connection to a service of the suite, parsed by llhttp (through httptools).

Written for this one hop because it is the hottest path of the suite: against aiohttp's client it halves the
CPU of a proxied request (measured, see the decision on the hot path). The peer is a uvicorn of our own, so
an answer always has a length or is chunked; one that ends with the connection counts as cut off.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Self, cast

import httptools

from common.kit.asgi import ClientGoneError
from gateway.domain.errors import AnswerCutError

_LOG = logging.getLogger(__name__)
_HIGH_WATER_BYTES = 64 * 1024


class UnexpectedAnswerError(Exception):
    """Bytes that belong to no request came from the service."""


class ServiceConnection(asyncio.Protocol):
    """Carries one exchange at a time and is the Answer of the present one.

    `give_back` is called once per exchange, at its `close`, when the connection may carry another one or not:
    see `reusable`. Nothing is buffered beyond 64 KiB in either direction.
    """

    def __init__(self, give_back: Callable[["ServiceConnection"], None]) -> None:
        self.status = 0
        self.headers: Sequence[tuple[bytes, bytes]] = ()
        self.idle_since_s = 0.0
        self._give_back = give_back
        self._transport: asyncio.Transport
        self._parser = httptools.HttpResponseParser(self)
        self._lost = False
        self._busy = False
        self._head: list[tuple[bytes, bytes]] = []
        self._chunks: list[bytes] = []
        self._buffered_bytes = 0
        self._head_is_here = self._complete = False
        self._body_task: asyncio.Task[None] | None = None
        self._without_body = False
        self._waiter: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None

    @property
    def reusable(self) -> bool:
        """Whether another exchange may follow: both sides said all they had to, and nobody wants to close."""
        return not self._lost and self._complete and not self._transport.is_closing()

    async def exchange(
        self, head: bytes, body: bytes | AsyncIterator[bytes], *, chunked: bool, bodiless: bool
    ) -> Self:
        """Send a request and return when the answer's headers are here; AnswerCutError when it ends before.

        `head` ends with its empty line. An iterated body is sent while the answer is awaited. `bodiless`: the
        answer has no body whatever its headers say (HEAD).
        """
        self._busy, self._without_body = True, bodiless
        self._head, self._head_is_here, self._complete = [], False, False
        if isinstance(body, bytes):
            self._transport.write(head + body if body else head)
        else:
            self._transport.write(head)
            self._body_task = asyncio.create_task(self._send_body(body, chunked=chunked))
        while not self._head_is_here:
            await self._wait()
        self.headers = self._head
        return self

    @property
    def at_end(self) -> bool:
        """Complete and handed out."""
        return self._complete and not self._chunks

    def ready(self) -> bytes:
        """What has arrived and was not handed out."""
        chunks = self._chunks
        if not chunks:
            return b""
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._chunks = []
        if self._buffered_bytes > _HIGH_WATER_BYTES and not self._transport.is_closing():
            self._transport.resume_reading()
        self._buffered_bytes = 0
        return data

    async def next(self) -> bytes:
        """What arrives next, empty at the end; raises AnswerCutError."""
        while not self._chunks:
            if self._complete:
                return b""
            await self._wait()
        return self.ready()

    def close(self) -> None:
        """End the exchange; unless it is complete in both directions the service sees its caller leave."""
        if not self._busy:
            return
        self._busy = False
        task, self._body_task = self._body_task, None
        if task is not None and not task.done():
            task.cancel()
            self._transport.abort()
        elif not self._complete:
            self._transport.abort()
        self._chunks, self._buffered_bytes = [], 0
        self._give_back(self)

    def abandon(self) -> None:
        """Close an idle connection."""
        self._transport.abort()

    async def _send_body(self, body: AsyncIterator[bytes], *, chunked: bool) -> None:
        whole = False
        try:
            async for chunk in body:
                if self._transport.is_closing():
                    return
                self._transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
                if self._drained is not None:
                    await self._drained
            if chunked and not self._transport.is_closing():
                self._transport.write(b"0\r\n\r\n")
            whole = True
        except ClientGoneError:
            _LOG.debug("a client left in the middle of its body")
        finally:
            if not whole:
                # Cut off before its end, so that the service takes no half body for a whole one.
                self._transport.abort()

    async def _wait(self) -> None:
        if self._lost:
            raise AnswerCutError("the connection to the service was lost")
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is open."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _error: Exception | None) -> None:
        """The connection is gone; who waits is told."""
        self._lost = True
        self._wake()
        self.resume_writing()

    def data_received(self, data: bytes) -> None:
        """Bytes from the service; what belongs to no request ends the connection."""
        if not self._busy:
            self._transport.abort()
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._transport.abort()

    def pause_writing(self) -> None:
        """The service takes the body slower than the client sends it."""
        self._drained = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """It has caught up, or is gone."""
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    # httptools.HttpResponseParser

    def on_message_begin(self) -> None:
        """An answer begins; a second one to the same request is refused."""
        if self._complete:
            raise UnexpectedAnswerError

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; uvicorn sends lower-case names."""
        self._head.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is here, unless it was an interim one (RFC 9110 section 15.2)."""
        self.status = self._parser.get_status_code()
        if self.status < 200:
            return
        self._head_is_here = True
        if self._without_body:
            self._complete = True
            self._transport.close()  # the parser cannot be told that no body follows
        self._wake()

    def on_body(self, data: bytes) -> None:
        """Bytes of the body, in the service's own portions."""
        self._chunks.append(data)
        before, self._buffered_bytes = self._buffered_bytes, self._buffered_bytes + len(data)
        if before <= _HIGH_WATER_BYTES < self._buffered_bytes:
            self._transport.pause_reading()
        self._wake()

    def on_message_complete(self) -> None:
        """The answer is whole."""
        if self.status < 200:
            self._head = []
            return
        self._complete = True
        if not self._parser.should_keep_alive():
            self._transport.close()
        self._wake()
