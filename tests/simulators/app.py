"""The composition: which vendor answers under which prefix, and the control endpoints beside them.

`GET /healthz` 200 · `GET /_sim/served` what was served · `GET /_sim/requests?limit=50` the last requests, as
they arrived · `POST /_sim/reset` clears both · `POST /_sim/config` `{"fault": "sim-…" | null}` sets the
faults of models that name none.
"""

from typing import Any, Protocol
from urllib.parse import parse_qs

import msgspec

from simulators.faults import Faults, UnknownFaultError, parse_faults
from simulators.openai import OpenAISimulator
from simulators.openai.fast import FastChat
from simulators.served import Served
from simulators.stripe import StripeSimulator
from simulators.wire import ClientGoneError, Connection, ConnectionCutError, Receive, Scope, Send


class Vendor(Protocol):
    """What each vendor's package offers."""

    async def serve(self, connection: Connection, path: str) -> None:
        """Answers one request; `path` is what follows the vendor's prefix."""


def vendors(served: Served, stripe_webhook: tuple[str, str] | None = None) -> dict[str, Vendor]:
    """Every vendor by the prefix it is mounted under. A new one is one more line."""
    return {
        "/openai/v1": OpenAISimulator(served),
        "/stripe": StripeSimulator(stripe_webhook),
    }


class Config(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /_sim/config`."""

    fault: str | None = None


class Simulators:
    """The ASGI application. `fast` answers chats from bytes encoded at start and records nothing.

    `stripe_webhook`: URL and secret of an endpoint that Stripe knows from the start.
    """

    def __init__(self, *, fast: bool = False, stripe_webhook: tuple[str, str] | None = None) -> None:
        self._served = Served(recording=not fast)
        self._vendors = vendors(self._served, stripe_webhook)
        self._fast = FastChat(self._served) if fast else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = None
        if self._fast is not None and scope["path"] == "/openai/v1/chat/completions":
            body = await self._fast.answer(receive, send)
            if body is None:
                return
        connection = Connection(scope, receive, send, body)
        try:
            await self._dispatch(connection)
        except (ClientGoneError, ConnectionCutError):
            return

    async def _dispatch(self, connection: Connection) -> None:
        for prefix, vendor in self._vendors.items():
            if connection.path.startswith(prefix + "/"):
                self._served.record(connection, await connection.read_body())
                await vendor.serve(connection, connection.path.removeprefix(prefix))
                return
        status, answer = self._control(connection, await connection.read_body())
        headers = [(b"content-type", b"application/json")]
        await connection.respond(status, headers, msgspec.json.encode(answer))

    def _control(self, connection: Connection, body: bytes) -> tuple[int, Any]:
        match connection.method, connection.path:
            case "GET", "/healthz":
                return 200, {"status": "ok"}
            case "GET", "/_sim/served":
                return 200, self._served.totals()
            case "GET", "/_sim/requests":
                limit = parse_qs(connection.query).get("limit", ["50"])[0]
                return 200, self._served.latest(int(limit) if limit.isdecimal() else 50)
            case "POST", "/_sim/reset":
                self._served.reset()
                return 200, self._served.totals()
            case "POST", "/_sim/config":
                return self._configure(body)
        return 404, {"error": f"no {connection.method} {connection.path} here"}

    def _configure(self, body: bytes) -> tuple[int, Any]:
        try:
            config = msgspec.json.decode(body, type=Config)
            self._served.default_faults = parse_faults(config.fault) if config.fault else Faults()
        except (msgspec.DecodeError, UnknownFaultError) as error:
            return 400, {"error": str(error)}
        return 200, config
