"""`python -m simulators --port 8090 [--host 127.0.0.1] [--fast]`, with the folder `tests` on the Python path.

Port 0 takes a free one. Prints `simulators ready http://HOST:PORT` when listening. SIGTERM and SIGINT cut
every open connection and end the process with status 0; a port that is taken ends it with status 3.
`STRIPE_WEBHOOK_URL` and `STRIPE_WEBHOOK_SECRET` in the environment: an endpoint that Stripe knows at once.
"""

import argparse
import os
import signal
import socket
import sys
from types import FrameType

import uvicorn

from simulators.app import Simulators
from simulators.wire import TransportProtocol

# Longer than any client keeps an idle connection, so that the client is the one to close it.
KEEP_ALIVE_S = 120


class SimulatorServer(uvicorn.Server):
    """Says when it listens, and on its way out does not wait for streams that may never end."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listens, then prints the ready line."""
        await super().startup(sockets)
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        sys.stdout.write(f"simulators ready http://{host}:{port}\n")
        sys.stdout.flush()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Cuts what is open: the answers end by themselves when their client is gone."""
        for connection in list(self.server_state.connections):
            connection.transport.close()
        await super().shutdown(sockets)


def _stripe_webhook() -> tuple[str, str] | None:
    url, secret = os.environ.get("STRIPE_WEBHOOK_URL"), os.environ.get("STRIPE_WEBHOOK_SECRET")
    return (url, secret) if url and secret else None


def _exit(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)


def main() -> None:
    """Serves until a signal."""
    parser = argparse.ArgumentParser(
        prog="simulators", description="Vendor simulators for tests and first runs"
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8090, help="0 takes a free one")
    parser.add_argument(
        "--fast", action="store_true", help="for benchmarks: fixed chat answers, no recording"
    )
    options = parser.parse_args()
    # uvicorn restores these and repeats the signal once it has shut down, which would else end by that signal
    signal.signal(signal.SIGTERM, _exit)
    signal.signal(signal.SIGINT, _exit)
    config = uvicorn.Config(
        Simulators(fast=options.fast, stripe_webhook=_stripe_webhook()),
        host=options.host,
        port=options.port,
        loop="uvloop",
        http=TransportProtocol,
        ws="none",
        lifespan="off",
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        interface="asgi3",
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    SimulatorServer(config).run()


if __name__ == "__main__":
    main()
