"""The hot paths, raw ASGI: they pass neither through Litestar's routing nor its parameter handling.

Everything below `/api` goes on to the management application.
"""

import logging
import time
from collections.abc import Awaitable, Callable
from urllib.parse import unquote

from opentelemetry.trace import SpanKind

from chat_relay.domain.errors import MethodNotAllowedError
from chat_relay.domain.requests import Operation
from chat_relay.routes.clients import AsgiClient
from chat_relay.routes.models import model_list, one_model
from chat_relay.usecases.models import Models
from chat_relay.usecases.relays import Inbound, Relay
from chat_relay.usecases.replays import Replays
from common.contracts.errors import InvalidKeyError, NotFoundError, ServiceError
from common.contracts.principals import Principal
from common.contracts.routes import Protocol
from common.kit.asgi import ClientGoneError, Receive, Scope, Send, header, read_body
from common.kit.errors import render_error
from common.kit.ids import uuid7
from common.kit.logs import request_id_var
from common.kit.metrics import RequestMetrics
from common.kit.principal import PRINCIPAL_HEADER, PrincipalSigner
from common.kit.telemetry import Telemetry

_LOG = logging.getLogger(__name__)
_OPERATIONS: dict[str, Operation] = {
    "/v1/chat/completions": "chat",
    "/chat/completions": "chat",
    "/v1/embeddings": "embeddings",
    "/embeddings": "embeddings",
}
_MODELS = ("/v1/models", "/models")
_CLIENT_GONE_STATUS = 499

Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]


class Front:
    """ASGI application before the management application."""

    def __init__(
        self,
        relay: Relay,
        replays: Replays,
        models: Models,
        signer: PrincipalSigner,
        telemetry: Telemetry,
        max_body_bytes: int,
        management: Asgi,
    ) -> None:
        self._relay = relay
        self._replays = replays
        self._models = models
        self._signer = signer
        self._telemetry = telemetry
        self._max_body_bytes = max_body_bytes
        self._management = management
        self._metrics = RequestMetrics()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        path: str = scope["path"]
        if path.startswith("/api/"):
            await self._management(scope, receive, send)
            return
        began = time.perf_counter()
        client = AsgiClient(receive, send)
        operation = _OPERATIONS.get(path)
        label = path if operation else "models"
        try:
            if self._telemetry.enabled:
                inbound = header(scope["headers"], b"traceparent")
                parent = None if inbound is None else inbound.decode("latin-1")
                with self._telemetry.span(label, SpanKind.SERVER, parent):
                    await self._answer(scope, receive, client, operation)
            else:
                await self._answer(scope, receive, client, operation)
        finally:
            status = client.status or _CLIENT_GONE_STATUS
            self._metrics.observe(label, status, time.perf_counter() - began)

    async def _answer(
        self, scope: Scope, receive: Receive, client: AsgiClient, operation: Operation | None
    ) -> None:
        request_id = ""
        anthropic = False
        try:
            principal = self._principal(scope)
            request_id = principal.request_id
            request_id_var.set(request_id)
            if operation is None:
                anthropic = header(scope["headers"], b"anthropic-version") is not None
                await self._answer_models(scope, principal, client, anthropic=anthropic)
                return
            _require_method(scope, "POST")
            body = await read_body(receive, self._max_body_bytes)
            query = _without_key(scope["query_string"]) if scope["query_string"] else ""
            inbound = Inbound(operation, principal, scope["headers"], query, body)
            key = header(scope["headers"], b"idempotency-key")
            if key is None:
                await self._relay.answer(inbound, client)
            else:
                await self._replays.answer(key, inbound, client)
        except ClientGoneError:
            return
        except ServiceError as error:
            await _refuse(client, error, request_id, anthropic=anthropic)
        except Exception:
            _LOG.exception("unhandled error on %s", operation)
            if client.started:
                raise  # the server then cuts the connection, and nothing truncated looks complete
            await _refuse(client, ServiceError("Internal error."), request_id, anthropic=anthropic)

    def _principal(self, scope: Scope) -> Principal:
        value = header(scope["headers"], PRINCIPAL_HEADER)
        if value is None:
            raise InvalidKeyError("The request did not come through the gateway.")
        return self._signer.verify(value)

    async def _answer_models(
        self, scope: Scope, principal: Principal, client: AsgiClient, *, anthropic: bool
    ) -> None:
        path = scope["path"]
        prefix = next((known for known in _MODELS if path == known or path.startswith(known + "/")), None)
        if prefix is None:
            raise NotFoundError(f"There is nothing at {path}.")
        _require_method(scope, "GET")
        name = unquote(path[len(prefix) + 1 :])
        if name:
            body = one_model(self._models.find_model(principal, name), anthropic=anthropic)
        else:
            body = model_list(self._models.list_models(principal), anthropic=anthropic)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", principal.request_id.encode()),
        ]
        await client.start(200, headers)
        await client.finish(body)


def _require_method(scope: Scope, method: str) -> None:
    if scope["method"] != method:
        raise MethodNotAllowedError(f"{scope['method']} is not allowed here; use {method}.")


async def _refuse(client: AsgiClient, error: ServiceError, request_id: str, *, anthropic: bool) -> None:
    if client.gone:
        return
    protocol: Protocol = "anthropic" if anthropic else "openai"
    status, headers, body = render_error(protocol, error, request_id or uuid7())
    await client.start(status, headers)
    await client.finish(body)


def _without_key(query: bytes) -> str:
    """The query without `key`, which some clients send their credential in."""
    parts = query.decode("latin-1").split("&")
    return "&".join(part for part in parts if part.partition("=")[0].lower() != "key")
