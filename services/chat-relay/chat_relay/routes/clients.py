"""The caller of one request, seen through ASGI."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, cast

from chat_relay.domain.headers import RawHeaders
from common.kit.asgi import DisconnectWatch, Message, Receive, Send


class AsgiClient:
    """See `Client`. The request's body must have been read to its end before `watch` or `has_left`."""

    __slots__ = ("_receive", "_send", "_watch", "gone", "started", "status")

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._watch: DisconnectWatch | None = None
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

        def told() -> None:
            self.gone = True
            on_gone()

        self._watch = DisconnectWatch(self._receive, told)
        self._watch.start()

    def unwatch(self) -> None:
        """See `Client.unwatch`."""
        if self._watch is not None:
            self._watch.stop()
            self._watch = None

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
