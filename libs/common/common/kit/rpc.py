"""Request-reply between services over `nats.micro`: msgpack Structs, deadlines, typed errors."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.micro import add_service
from nats.micro.request import ERROR_CODE_HEADER, Request
from nats.micro.service import Service
from opentelemetry.trace import SpanKind

from common.contracts.errors import DeadlineError, InvalidRequestError, ServiceError, UnavailableError
from common.contracts.rpc import Method, RequestT, ResponseT, RpcError
from common.kit.bus import Bus
from common.kit.metrics import RPC
from common.kit.telemetry import Telemetry, inject

_LOG = logging.getLogger(__name__)
_TIMEOUT_HEADER = "Tollway-Timeout-Ms"
_MAX_CONCURRENT = 4096
_STOP_TIMEOUT_S = 5
_ENCODER = msgspec.msgpack.Encoder()
_ERROR_DECODER = msgspec.msgpack.Decoder(RpcError)


class RpcClient:
    """Calls methods of other services."""

    def __init__(self, bus: Bus, telemetry: Telemetry | None = None) -> None:
        self._bus = bus
        self._tracing = telemetry is not None and telemetry.enabled
        self._decoders: dict[str, msgspec.msgpack.Decoder[Any]] = {}

    async def call(
        self, method: Method[RequestT, ResponseT], request: RequestT, timeout_s: float | None = None
    ) -> ResponseT:
        """The answer, or a ServiceError: the callee's own, UnavailableError when nobody listens (nothing
        was done), DeadlineError when no answer came in time (the outcome is unknown: retry with same ids).
        """
        # Headers cost both sides more than the rest of a small call: only what differs from the default.
        headers: dict[str, str] = {}
        if timeout_s is None:
            timeout_s = method.timeout_s
        elif timeout_s != method.timeout_s:
            headers[_TIMEOUT_HEADER] = str(int(timeout_s * 1000))
        if self._tracing:
            inject(headers)
        data = _ENCODER.encode(request)
        try:
            reply = await self._bus.client.request(
                method.subject, data, timeout=timeout_s, headers=headers or None
            )
        except NoRespondersError:
            raise UnavailableError(f"Nobody answers {method.subject}.") from None
        except TimeoutError:
            raise DeadlineError(f"No answer from {method.subject} within {timeout_s:g} s.") from None
        except (NatsError, OSError) as error:
            raise UnavailableError("The message broker is away.") from error
        if reply.headers and ERROR_CODE_HEADER in reply.headers:
            raise _as_service_error(reply.data)
        return self._decoder(method).decode(reply.data)

    def _decoder(self, method: Method[RequestT, ResponseT]) -> "msgspec.msgpack.Decoder[ResponseT]":
        decoder = self._decoders.get(method.subject)
        if decoder is None:
            decoder = self._decoders[method.subject] = msgspec.msgpack.Decoder(method.response)
        return decoder


class RpcServer:
    """Serves methods. Calls run concurrently, at most 4,096 at a time; more are refused, not queued."""

    def __init__(self, bus: Bus, name: str, telemetry: Telemetry) -> None:
        self._bus = bus
        self._name = name
        self._telemetry = telemetry
        self._service: Service | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._methods: list[tuple[Method[Any, Any], Callable[[Any], Awaitable[Any]]]] = []

    def add(
        self, method: Method[RequestT, ResponseT], handler: Callable[[RequestT], Awaitable[ResponseT]]
    ) -> None:
        """Serve `method` by `handler`, which may raise any ServiceError."""
        self._methods.append((method, handler))

    async def start(self) -> None:
        """Answer from now on."""
        self._service = await add_service(self._bus.client, name=self._name, version="1.0.0")
        for method, handler in self._methods:
            name = method.subject.replace(".", "-")
            await self._service.add_endpoint(
                name=name, subject=method.subject, handler=self._endpoint(method, handler)
            )
        await self._bus.flush()  # else the first callers may hear that nobody answers

    async def stop(self) -> None:
        """Stop taking calls and finish those under way; each is given five seconds."""
        if self._service is not None and self._bus.client.is_connected:
            try:
                async with asyncio.timeout(_STOP_TIMEOUT_S):
                    await self._service.stop()
            except (NatsError, TimeoutError, OSError) as error:
                _LOG.warning("rpc: stopped without the broker: %r", error)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_STOP_TIMEOUT_S)

    def _endpoint(
        self, method: Method[Any, Any], handler: Callable[[Any], Awaitable[Any]]
    ) -> Callable[[Request], Awaitable[None]]:
        decoder = msgspec.msgpack.Decoder(method.request)
        answered = RPC.labels(method.subject, "ok")

        async def answer(request: Request) -> None:
            headers = request.headers or {}
            try:
                own = headers.get(_TIMEOUT_HEADER)
                async with asyncio.timeout(method.timeout_s if own is None else int(own) / 1000):
                    if self._telemetry.enabled:
                        parent = headers.get("traceparent")
                        with self._telemetry.span(method.subject, SpanKind.SERVER, parent):
                            response = await handler(decoder.decode(request.data))
                    else:
                        response = await handler(decoder.decode(request.data))
                await request.respond(_ENCODER.encode(response))
            except Exception as error:  # noqa: BLE001  every failure is answered, unknown ones as 500
                await _refuse(request, method.subject, error)
                return
            answered.inc()

        async def dispatch(request: Request) -> None:
            # nats.micro awaits one handler at a time; a task per call is what lets a group commit form.
            if len(self._tasks) >= _MAX_CONCURRENT:
                await _refuse(request, method.subject, UnavailableError("Too many calls under way."))
                return
            task = asyncio.create_task(answer(request))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        return dispatch


async def _refuse(request: Request, subject: str, error: Exception) -> None:
    if isinstance(error, TimeoutError):
        error = DeadlineError(f"{subject} did not finish in time.")
    elif isinstance(error, (msgspec.DecodeError, UnicodeDecodeError)):
        error = InvalidRequestError(f"{subject}: {error}")
    elif not isinstance(error, ServiceError):
        _LOG.error("rpc %s failed", subject, exc_info=error)
        error = ServiceError("Internal error.")
    RPC.labels(subject, error.error_code).inc()
    body = RpcError(error.error_code, error.message, error.error_status, error.param, error.retry_after_s)
    try:
        await request.respond_error(error.error_code, error.error_code, msgspec.msgpack.encode(body))
    except NatsError as failure:
        _LOG.warning("rpc %s: cannot answer: %r", subject, failure)


def _as_service_error(data: bytes) -> ServiceError:
    body = _ERROR_DECODER.decode(data)
    return ServiceError(
        body.message,
        param=body.param,
        retry_after_s=body.retry_after_s,
        code=body.code,
        status=body.status,
    )
