"""One Litestar plugin that gives every service probes, metrics, logs, traces and one error shape."""

import asyncio
import gc
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import msgspec
import uvicorn
from litestar import Litestar, Request, Response
from litestar.config.app import AppConfig
from litestar.exceptions import HTTPException, ValidationException
from litestar.plugins import InitPlugin
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from common.contracts.errors import InvalidRequestError, ServiceError
from common.kit.asgi import Receive, Scope, Send, send_response
from common.kit.errors import render_error
from common.kit.ids import is_request_id, uuid7
from common.kit.logs import configure_logging
from common.kit.settings import ServiceSettings
from common.kit.telemetry import Telemetry

_LOG = logging.getLogger(__name__)
_CHECK_TIMEOUT_S = 2
_COLLECT_EVERY = 20_000
_HTTP_CODES = {
    400: "invalid_request",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "request_too_large",
}

Check = Callable[[], Awaitable[None]]


class NotStartedError(Exception):
    """The service still opens its connections; shown by /readyz as the result of the check `startup`."""


class ServicePlugin(InitPlugin):
    """Health, metrics, logs, traces and errors of one service.

    `checks` are what readiness asks: each raises unless its part answers now. Probes and metrics listen on
    `settings.ops_port`, apart from the service's routes.
    """

    def __init__(self, name: str, settings: ServiceSettings) -> None:
        self.name = name
        self.settings = settings
        self.checks: dict[str, Check] = {"startup": self._started}
        self._is_started = False
        self.telemetry = Telemetry(name, settings.replica, settings.otlp_endpoint, settings.trace_ratio)
        configure_logging(name, settings.replica, settings.log_level)

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Add the probes' listener, the error map and nothing else."""
        app_config.lifespan = [self._ops_lifespan, *(app_config.lifespan or [])]
        # Startup runs when every lifespan has been entered.
        app_config.on_startup = [*(app_config.on_startup or []), self._mark_started]
        app_config.exception_handlers = {
            ServiceError: _problem,
            ValidationException: _validation_error,
            HTTPException: _http_error,
            Exception: _unexpected_error,
            **(app_config.exception_handlers or {}),
        }
        app_config.logging_config = None
        return app_config

    @asynccontextmanager
    async def _ops_lifespan(self, _app: Litestar) -> AsyncIterator[None]:
        config = uvicorn.Config(
            self.ops_app,
            interface="asgi3",  # uvicorn takes an async method for the older interface
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
        )
        server = _QuietServer(config)
        # Bound here because uvicorn ends the process when a port is taken, and so that probes never race it.
        family = socket.AF_INET6 if ":" in self.settings.host else socket.AF_INET
        listener = socket.create_server((self.settings.host, self.settings.ops_port), family=family)
        task = asyncio.create_task(server.serve([listener]))
        try:
            yield
        finally:
            server.should_exit = True
            await task
            self.telemetry.close()

    async def ops_app(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """ASGI: /healthz (the loop turns), /readyz (every check passes), /metrics (Prometheus text)."""
        path = scope["path"]
        if path == "/healthz":
            await _send_json(send, 200, {"status": "ok"})
        elif path == "/readyz":
            results = await self.readiness()
            ready = all(result == "ok" for result in results.values())
            await _send_json(
                send, 200 if ready else 503, {"status": "ok" if ready else "unready", "checks": results}
            )
        elif path == "/metrics":
            headers = [(b"content-type", CONTENT_TYPE_LATEST.encode())]
            await send_response(send, 200, headers, generate_latest())
        else:
            await _send_json(send, 404, {"status": "not found"})

    def _mark_started(self) -> None:
        self._is_started = True
        # Modules, routes and prices live as long as the process: the collector need not walk them again. What
        # a batch or a request allocates goes by counting references.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_COLLECT_EVERY, 20, 20)

    async def _started(self) -> None:
        if not self._is_started:
            raise NotStartedError

    async def readiness(self) -> dict[str, str]:
        """`ok` or the failure of every check, each within two seconds."""
        names = list(self.checks)
        outcomes = await asyncio.gather(
            *(asyncio.wait_for(check(), _CHECK_TIMEOUT_S) for check in self.checks.values()),
            return_exceptions=True,
        )
        return {
            name: "ok" if outcome is None else type(outcome).__name__
            for name, outcome in zip(names, outcomes, strict=True)
        }


class _QuietServer(uvicorn.Server):
    """A second server in the loop: signals belong to the first one."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _send_json(send: Send, status: int, value: object) -> None:
    await send_response(send, status, [(b"content-type", b"application/json")], msgspec.json.encode(value))


def _problem(request: Request, error: ServiceError) -> Response[bytes]:  # type: ignore[type-arg]
    request_id = request.headers.get("x-request-id", "")
    if not is_request_id(request_id):
        request_id = uuid7()
    status, headers, body = render_error("problem", error, request_id)
    named = {name.decode(): value.decode() for name, value in headers if name != b"content-length"}
    media_type = named.pop("content-type")
    return Response(body, status_code=status, headers=named, media_type=media_type)


def _validation_error(request: Request, error: ValidationException) -> Response[bytes]:  # type: ignore[type-arg]
    param = None
    message = error.detail
    if isinstance(error.extra, list) and error.extra:
        first = error.extra[0]
        param = str(first.get("key") or first.get("source") or "") or None
        message = str(first.get("message", message))
    return _problem(request, InvalidRequestError(message, param=param))


def _http_error(request: Request, error: HTTPException) -> Response[bytes]:  # type: ignore[type-arg]
    if error.status_code >= 500:  # Litestar's own, whose detail speaks of our code
        return _unexpected_error(request, error)
    code = _HTTP_CODES.get(error.status_code, "http_error")
    return _problem(request, ServiceError(error.detail, code=code, status=error.status_code))


def _unexpected_error(request: Request, error: Exception) -> Response[bytes]:  # type: ignore[type-arg]
    _LOG.error("unhandled error on %s", request.url.path, exc_info=error)
    return _problem(request, ServiceError("Internal error."))
