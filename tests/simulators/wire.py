"""One HTTP exchange over raw ASGI, with what a misbehaving vendor needs beyond it.

Pauses notice a client that left, and a connection can be cut in the middle of an answer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]


class ClientGoneError(Exception):
    """The client closed the connection before its answer was complete."""


class ConnectionCutError(Exception):
    """The simulator itself cut the connection, as a scripted fault."""


class TransportProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol that also hands the application its transport, which ASGI has no name for."""

    def on_message_begin(self) -> None:
        """Adds the transport to the scope of the request that begins."""
        super().on_message_begin()
        self.scope["extensions"] = {"simulators": {"transport": self.transport}}


class Connection:
    """A request and its answer. Every write and pause raises `ClientGoneError` once the client has left."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, body: bytes | None = None) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: str = scope["query_string"].decode("latin-1")
        self.raw_headers: list[tuple[bytes, bytes]] = list(scope["headers"])
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in self.raw_headers}
        self._transport: asyncio.Transport = scope["extensions"]["simulators"]["transport"]
        self._receive = receive
        self._send = send
        self._body = body

    async def read_body(self) -> bytes:
        """The whole body, of any size; a second call returns the same bytes."""
        if self._body is None:
            parts = []
            more = True
            while more:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    raise ClientGoneError
                parts.append(message["body"])
                more = message["more_body"]
            self._body = b"".join(parts)
        return self._body

    async def start(self, status: int, headers: Headers) -> None:
        """Sends status and headers; without a content-length the body is chunked."""
        self._check_open()
        await self._send({"type": "http.response.start", "status": status, "headers": list(headers)})

    async def write(self, data: bytes) -> None:
        """Sends one piece of the body as one HTTP chunk."""
        self._check_open()
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def finish(self) -> None:
        """Ends the body properly."""
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def respond(self, status: int, headers: Headers, body: bytes) -> None:
        """A whole answer with its content-length."""
        await self.start(status, [*headers, (b"content-length", b"%d" % len(body))])
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def pause(self, duration_s: float | None) -> None:
        """Waits `duration_s` seconds (None: for ever) or until the client leaves. The body must be read."""
        if duration_s is not None and duration_s <= 0:
            return
        try:
            async with asyncio.timeout(duration_s):
                await self._disconnected()
        except TimeoutError:
            return
        raise ClientGoneError

    async def cut(self) -> None:
        """Closes the connection after what was written, without ending the answer. Always raises."""
        self._transport.close()
        await self._disconnected()
        raise ConnectionCutError

    async def _disconnected(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def _check_open(self) -> None:
        # uvicorn drops writes to a closed connection silently; served tokens must not be counted then
        if self._transport.is_closing():
            raise ClientGoneError
