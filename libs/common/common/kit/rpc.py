"""Request-reply between services over `nats.micro`: msgpack Structs, deadlines, typed errors."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import msgspec
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError, NoRespondersError
from nats.micro import add_service
from nats.micro.request import ERROR_CODE_HEADER, ERROR_HEADER, Request
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
_OVERDUE_EVERY_S = 0.1
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
            raise _ERROR_DECODER.decode(reply.data).as_error()
        return self._decoder(method).decode(reply.data)

    def _decoder(self, method: Method[RequestT, ResponseT]) -> "msgspec.msgpack.Decoder[ResponseT]":
        decoder = self._decoders.get(method.subject)
        if decoder is None:
            decoder = self._decoders[method.subject] = msgspec.msgpack.Decoder(method.response)
        return decoder


class RpcServer:
    """Serves methods. Calls run concurrently, at most 4,096 at a time; more are refused, not queued.

    A handler that returns a Future instead of a coroutine is answered when that is done and costs no task:
    for what only queues its work. Answers that are ready together leave in one write.
    """

    def __init__(self, bus: Bus, name: str, telemetry: Telemetry) -> None:
        self._bus = bus
        self._name = name
        self._telemetry = telemetry
        self._service: Service | None = None
        self._calls: dict[asyncio.Future[Any], float] = {}
        self._frames: list[bytes] = []
        self._sending: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._methods: list[tuple[Method[Any, Any], Callable[[Any], Awaitable[Any]]]] = []

    def add(
        self, method: Method[RequestT, ResponseT], handler: Callable[[RequestT], Awaitable[ResponseT]]
    ) -> None:
        """Serve `method` by `handler`, which may raise any ServiceError."""
        self._methods.append((method, handler))

    async def start(self) -> None:
        """Answer from now on."""
        self._end_overdue()
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
        if self._calls:
            await asyncio.wait(self._calls, timeout=_STOP_TIMEOUT_S)
        if self._timer is not None:
            self._timer.cancel()
        if self._sending is not None:
            await self._sending

    def _endpoint(
        self, method: Method[Any, Any], handler: Callable[[Any], Awaitable[Any]]
    ) -> Callable[[Request], Awaitable[None]]:
        decoder = msgspec.msgpack.Decoder(method.request)
        succeeded = RPC.labels(method.subject, "ok")
        loop = asyncio.get_running_loop()

        def answer(request: Request, call: asyncio.Future[Any]) -> None:
            del self._calls[call]
            try:
                failure = TimeoutError() if call.cancelled() else call.exception()
                data = b"" if failure else _ENCODER.encode(call.result())
                if len(data) > self._bus.client.max_payload:
                    failure = MaxPayloadError()
            except Exception as unsendable:  # noqa: BLE001  every failure is answered
                failure = unsendable
            if failure is not None:
                self._refuse(request, method.subject, failure)
                return
            self._send(b"PUB %b %d\r\n%b\r\n" % (request._msg.reply.encode(), len(data), data))  # noqa: SLF001
            succeeded.inc()

        async def dispatch(request: Request) -> None:
            if not request._msg.reply:  # noqa: SLF001  nobody waits, and an answer to nobody ends the connection
                return
            if len(self._calls) >= _MAX_CONCURRENT:
                self._refuse(request, method.subject, UnavailableError("Too many calls under way."))
                return
            try:
                headers = request.headers
                own = headers.get(_TIMEOUT_HEADER) if headers else None
                timeout_s = method.timeout_s if own is None else int(own) / 1000
                work = handler(decoder.decode(request.data))
            except Exception as error:  # noqa: BLE001  every failure is answered, unknown ones as 500
                self._refuse(request, method.subject, error)
                return
            if self._telemetry.enabled:
                work = self._traced(work, method.subject, headers or {})
            # nats.micro awaits one handler at a time; not waiting here is what lets a group commit form.
            call = work if isinstance(work, asyncio.Future) else asyncio.ensure_future(work)
            self._calls[call] = loop.time() + timeout_s
            call.add_done_callback(partial(answer, request))

        return dispatch

    async def _traced(self, work: Awaitable[Any], subject: str, headers: dict[str, str]) -> Any:
        with self._telemetry.span(subject, SpanKind.SERVER, headers.get("traceparent")):
            return await work

    def _end_overdue(self) -> None:
        """Cancel what took too long; one timer for all, since one for each would cost more than the call."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for call in [call for call, deadline in self._calls.items() if deadline < now]:
            call.cancel()
        self._timer = loop.call_later(_OVERDUE_EVERY_S, self._end_overdue)

    def _refuse(self, request: Request, subject: str, error: BaseException) -> None:
        if isinstance(error, (msgspec.DecodeError, UnicodeDecodeError)):
            error = InvalidRequestError(f"{subject}: {error}")
        elif isinstance(error, TimeoutError):
            error = DeadlineError(f"{subject} did not finish in time.")
        elif not isinstance(error, ServiceError):
            _LOG.error("rpc %s failed", subject, exc_info=error)
            error = ServiceError("Internal error.")
        code = error.error_code
        RPC.labels(subject, code).inc()
        data = _ENCODER.encode(RpcError.of(error))
        head = f"NATS/1.0\r\n{ERROR_HEADER}: {code}\r\n{ERROR_CODE_HEADER}: {code}\r\n\r\n".encode()
        reply = request._msg.reply.encode()  # noqa: SLF001
        sizes = len(head), len(head) + len(data)
        self._send(b"HPUB %b %d %d\r\n%b%b\r\n" % (reply, *sizes, head, data))

    def _send(self, frame: bytes) -> None:
        # nats-py's own publish costs as much a message as the rest of a small call.
        if not self._frames:
            self._sending = asyncio.create_task(self._flush())  # its turn comes after all that are ready now
        self._frames.append(frame)

    async def _flush(self) -> None:
        frames, self._frames = self._frames, []
        await self._bus.client._send_command(b"".join(frames))  # noqa: SLF001
        await self._bus.client._flush_pending()  # noqa: SLF001
