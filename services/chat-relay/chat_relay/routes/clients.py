"""The caller of one request, seen through ASGI."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, cast

from chat_relay.domain.headers import RawHeaders
from common.kit.asgi import Message, Receive, Send


class AsgiClient:
    """See `Client`. The request's body must have been read to its end before `watch` or `has_left`.

    A server tells that a client left only to who awaits `receive()`. A task that does nothing else would cost
    as much as the rest of a short stream, so the coroutine is stepped by hand: to the future it waits for,
    and again when that is done.
    """

    __slots__ = ("_on_gone", "_receive", "_send", "_waiting", "gone", "started", "status")

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._waiting: Coroutine[Any, Any, Message] | None = None
        self._on_gone: Callable[[], object] | None = None
        self.gone = False
        self.started = False
        self.status = 0

    async def start(self, status: int, headers: RawHeaders) -> None:
        """See `Client.start`."""
        self.started = True
        self.status = status
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    def write(self, chunk: bytes) -> Awaitable[None]:
        """See `Client.write`; the server's own coroutine, since this runs for every chunk."""
        return self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def finish(self, chunk: bytes = b"") -> None:
        """See `Client.finish`."""
        await self._send({"type": "http.response.body", "body": chunk})

    def watch(self, on_gone: Callable[[], object]) -> None:
        """See `Client.watch`."""
        self._on_gone = on_gone
        self._step()

    def unwatch(self) -> None:
        """See `Client.unwatch`."""
        self._on_gone = None
        if self._waiting is not None:
            self._waiting.close()
            self._waiting = None

    def has_left(self) -> bool:
        """See `Client.has_left`: `receive()` answers at once only when there is something to tell."""
        if not self.gone:
            waiting = cast("Coroutine[Any, Any, Message]", self._receive())
            try:
                waiting.send(None)
            except StopIteration as told:
                self.gone = told.value["type"] == "http.disconnect"
            else:
                waiting.close()
        return self.gone

    def _step(self, _done: object = None) -> None:
        while self._on_gone is not None:
            if self._waiting is None:
                self._waiting = cast("Coroutine[Any, Any, Message]", self._receive())
            try:
                future = self._waiting.send(None)
            except StopIteration as told:
                self._waiting = None
                if told.value["type"] == "http.disconnect":
                    self.gone = True
                    on_gone, self._on_gone = self._on_gone, None
                    on_gone()
            else:
                future._asyncio_future_blocking = False  # noqa: SLF001  as a task does with what it awaits
                future.add_done_callback(self._step)
                return
