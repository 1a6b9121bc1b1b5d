"""Notice that a client has gone while its answer is still being made."""

import asyncio
from collections.abc import Coroutine
from typing import Any, cast

from common.kit.asgi import Message, Receive


class DisconnectWatch:
    """Cancels the current task when the client disconnects; `gone` then tells this from any other cancel.

    The server says so only to who awaits `receive()`. A task for each request that does nothing else would
    cost about as much as routing the request, so the watch steps the coroutine itself: it runs it to the
    future it waits for, and again when that future is done.
    """

    __slots__ = ("_receive", "_task", "_waiting", "gone")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._task = cast("asyncio.Task[Any]", asyncio.current_task())
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
            self._task.cancel()

    def stop(self) -> None:
        """End the watch; harmless when it never began."""
        if self._waiting is not None:
            self._waiting.close()
            self._waiting = None

    def _step(self, _done: object = None) -> None:
        while self._waiting is not None:
            try:
                future = self._waiting.send(None)
            except StopIteration as finished:
                if finished.value["type"] == "http.disconnect":
                    self._waiting = None
                    self.trip()
                    return
                self._waiting = cast("Coroutine[Any, Any, Message]", self._receive())
            else:
                future._asyncio_future_blocking = False  # noqa: SLF001  what a task does with what it awaits
                future.add_done_callback(self._step)
                return
