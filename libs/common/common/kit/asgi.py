"""Small pieces for raw ASGI handlers: read a bounded body, send a whole answer, look up a header."""

from collections.abc import Awaitable, Callable, Coroutine, Iterable, MutableMapping
from typing import Any, cast

from common.contracts.errors import BodyTooLargeError
from common.kit.errors import Headers

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_DRAIN_FACTOR = 4


class ClientGoneError(Exception):
    """The client disconnected while its request was being read."""


def header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """The first value of a header; ASGI names are lower-case bytes."""
    for key, value in headers:
        if key == name:
            return value
    return None


async def read_body(receive: Receive, limit_bytes: int) -> bytes:
    """The whole body. Over the limit the rest is read and dropped (up to 4 x limit) so that the client gets
    to see the 413 instead of a reset connection; raises BodyTooLargeError, or ClientGoneError.
    """
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        body: bytes = message.get("body", b"")
        if len(body) <= limit_bytes:
            return body
    chunks: list[bytes] = []
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= limit_bytes:
            chunks.append(chunk)
        if not message.get("more_body") or size > limit_bytes * _DRAIN_FACTOR:
            break
        message = await receive()
    if size > limit_bytes:
        raise BodyTooLargeError(f"The request body is over the limit of {limit_bytes // 2**20} MiB.")
    return b"".join(chunks)


async def send_response(send: Send, status: int, headers: Headers, body: bytes) -> None:
    """One complete answer."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class DisconnectWatch:
    """Calls `on_gone`, once, when the client disconnects; `gone` tells that it did.

    A server says so only to who awaits `receive()`. A task for each request that does nothing else would cost
    about as much as routing the request, so the watch steps the coroutine itself: it runs it to the future it
    waits for, and again when that future is done.
    """

    __slots__ = ("_on_gone", "_receive", "_waiting", "gone")

    def __init__(self, receive: Receive, on_gone: Callable[[], object]) -> None:
        self._receive = receive
        self._on_gone = on_gone
        self._waiting: Coroutine[Any, Any, Message] | None = None
        self.gone = False

    def start(self) -> None:
        """Begin; call it when the request's body has been read to its end."""
        self._waiting = cast("Coroutine[Any, Any, Message]", self._receive())
        self._step()

    def trip(self) -> None:
        """The client is known to be gone."""
        if not self.gone:
            self.gone = True
            self._on_gone()

    def stop(self) -> None:
        """End the watch; harmless when it never began."""
        if self._waiting is not None:
            self._waiting.close()
            self._waiting = None

    def _step(self, _done: object = None) -> None:
        while self._waiting is not None:
            try:
                future = self._waiting.send(None)
            except StopIteration as told:
                if told.value["type"] == "http.disconnect":
                    self._waiting = None
                    self.trip()
                    return
                self._waiting = cast("Coroutine[Any, Any, Message]", self._receive())
            else:
                future._asyncio_future_blocking = False  # noqa: SLF001  what a task does with what it awaits
                future.add_done_callback(self._step)
                return
