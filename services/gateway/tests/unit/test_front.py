"""The front with fakes around it: traces, and what happens to errors nobody foresaw."""

import asyncio
import time
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from common.kit.principal import PrincipalSigner
from common.kit.telemetry import Telemetry
from gateway.domain.key_cache import KeyCache
from gateway.domain.keys import KeyHasher
from gateway.domain.limits import Limiter
from gateway.domain.proofs import Proofs
from gateway.routes.front import Admission, Front
from gateway.usecases.authentication import Authenticator, Finders

TRACE = "0af7651916cd43dd8448eb211c80319c"


class FakeAnswer:
    """An Answer that is complete at once."""

    status = 200
    headers = ((b"content-length", b"2"),)
    at_end = True

    def ready(self) -> bytes:
        return b"ok"

    async def next(self) -> bytes:
        return b""

    def close(self) -> None:
        return


class FakeServices:
    """Services that remember what they were sent, or fail."""

    def __init__(self) -> None:
        self.headers: dict[bytes, bytes] = {}
        self.error: Exception | None = None

    async def send(self, service: Any, method: Any, target: Any, headers: Any, body: Any, length: Any) -> Any:
        del service, method, target, body, length
        self.headers = dict(headers)
        if self.error:
            raise self.error
        return FakeAnswer()


class FakeKeys:
    """A KeyFinder that knows no key: the operator's needs none."""

    async def find_key(self, _digest: bytes) -> None:
        return


class FakePeople:
    """A PersonFinder of an installation without people."""

    async def find_person(self, _user: str) -> None:
        return


class FakeTokens:
    """Tokens, none of which counts."""

    async def check(self, _token: str) -> None:
        return


@pytest.fixture
def services() -> FakeServices:
    return FakeServices()


async def _request(front: Front, path: str = "/v1/models", **headers: str) -> tuple[int, bytes]:
    sent: list[Any] = []
    messages: asyncio.Queue[Any] = asyncio.Queue()
    messages.put_nowait({"type": "http.request", "body": b""})

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [
            (b"authorization", b"operator-key"),
            *[(name.encode(), value.encode()) for name, value in headers.items()],
        ],
        "client": ("127.0.0.1", 1),
        "state": {},
    }
    await front(scope, messages.get, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


def _front(services: FakeServices, telemetry: Telemetry) -> Front:
    async def management(_scope: Any, _receive: Any, _send: Any) -> None:
        raise AssertionError

    finders = Finders(FakeKeys(), FakePeople(), FakeTokens())
    return Front(
        Authenticator(finders, KeyCache(time.monotonic), KeyHasher("pepper"), "operator-key"),
        Proofs("https://ai.example.com", time.time),
        Admission(Limiter(time.monotonic), Limiter(time.monotonic), 0, ()),
        PrincipalSigner("k1:" + "s" * 32),
        services,
        telemetry,
        management,
    )


async def test_a_request_is_one_span_of_the_clients_trace_and_the_service_joins_it(
    services: FakeServices,
) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    front = _front(services, Telemetry("gateway", "r", "", 1.0, provider))
    status, _ = await _request(front, traceparent=f"00-{TRACE}-b7ad6b7169203331-01")
    assert status == 200
    (span,) = exporter.get_finished_spans()
    assert span.name == "GET /v1/models"
    assert span.attributes is not None
    assert span.attributes["http.response.status_code"] == 200
    assert span.context is not None
    assert f"{span.context.trace_id:032x}" == TRACE
    assert services.headers[b"traceparent"] == f"00-{TRACE}-{span.context.span_id:016x}-01".encode()
    assert "operator-key" not in str(span.attributes)


async def test_an_error_nobody_foresaw_is_a_500_that_tells_nothing(services: FakeServices) -> None:
    services.error = RuntimeError("the secret of the house")
    status, body = await _request(_front(services, Telemetry("gateway", "r", "", 0.0)))
    assert status == 500
    assert b"secret of the house" not in body
    assert b"request id" in body
