"""A webhook endpoint for tests that keeps what it is sent, byte for byte."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

# how long the end of a test may wait for the server's loop
POLL_S = 0.02


class Received(NamedTuple):
    """One request: the raw body and its headers, names in lower case."""

    body: bytes
    headers: dict[str, str]


class Receiver:
    """What arrived, in order. `answers` are the statuses of the next requests; then every one gets 200.

    A `barrier` makes requests wait for each other before they are answered: only as many as it has parties
    arriving at once get through, and one that waits in vain for 10 s gets 500.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.received: list[Received] = []
        self.answers: deque[int] = deque()
        self.barrier: threading.Barrier | None = None
        self._arrived = threading.Condition()

    def wait_for(self, count: int, timeout_s: float = 10) -> list[Received]:
        """What was received, once it is `count` requests; raises TimeoutError if they do not come."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self.received) >= count, timeout_s):
                raise TimeoutError(f"{len(self.received)} of {count} requests within {timeout_s} s")
            return list(self.received)

    def receive(self, request: Received) -> int:
        """Keeps the request; the status to answer with."""
        with self._arrived:
            self.received.append(request)
            self._arrived.notify_all()
            status = self.answers.popleft() if self.answers else 200
        if self.barrier is not None:
            try:
                self.barrier.wait(10)
            except threading.BrokenBarrierError:
                return 500
        return status


class _Server(ThreadingHTTPServer):
    # the standard library's 5 would refuse some of a hundred deliveries at once
    request_queue_size = 256


@contextmanager
def running_receiver() -> Iterator[Receiver]:
    """A receiver at a free port of 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = receiver.receive(Received(body, headers))
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Says nothing."""

    with _Server(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(f"http://127.0.0.1:{server.server_port}/webhook")
        thread = threading.Thread(target=server.serve_forever, args=(POLL_S,))
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
