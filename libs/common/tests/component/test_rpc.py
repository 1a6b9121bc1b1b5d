"""Calls between services: typed errors, deadlines, concurrency."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from common.contracts.errors import (
    BudgetExceededError,
    DeadlineError,
    RateLimitedError,
    ServiceError,
    UnavailableError,
)
from common.contracts.rpc import Method, RpcError
from common.kit.bus import Bus
from common.kit.rpc import RpcClient, RpcServer
from common.kit.telemetry import Telemetry
from common.testing.nats import EmbeddedNats
from common.testing.plugin import OWN_USER


class Ask(msgspec.Struct, frozen=True):
    """A question."""

    text: str


class Answer(msgspec.Struct, frozen=True):
    """Its answer."""

    text: str


ECHO: Method[Ask, Answer] = Method("rpc.sample.echo.v1", Ask, Answer)
OFF = Telemetry("sample", "r", "", 1.0)

Serve = Callable[[Callable[[Ask], Awaitable[Answer]]], Awaitable[RpcServer]]


@pytest.fixture
async def serve(bus: Bus) -> AsyncIterator[Serve]:
    """Serve ECHO by a handler until the test ends."""
    servers: list[RpcServer] = []

    async def begin(handler: Callable[[Ask], Awaitable[Answer]]) -> RpcServer:
        server = RpcServer(bus, "sample", OFF)
        server.add(ECHO, handler)
        await server.start()
        servers.append(server)
        return server

    yield begin
    for server in servers:
        await server.stop()


@pytest.fixture
async def client(nats_url: str) -> AsyncIterator[RpcClient]:
    """A client on a connection of its own."""
    connection = await Bus.connect(nats_url, "client")
    yield RpcClient(connection)
    await connection.close()


async def echo(ask: Ask) -> Answer:
    return Answer(ask.text)


async def test_a_call_is_answered(serve: Serve, client: RpcClient) -> None:
    await serve(echo)
    assert await client.call(ECHO, Ask("hello")) == Answer("hello")


async def test_a_refusal_arrives_as_it_was_raised(serve: Serve, client: RpcClient) -> None:
    async def refuse(_: Ask) -> Answer:
        raise RateLimitedError("Slow down.", param="text", retry_after_s=1.5)

    await serve(refuse)
    with pytest.raises(ServiceError) as caught:
        await client.call(ECHO, Ask("x"))
    error = caught.value
    assert (error.error_code, error.error_status) == ("rate_limit_exceeded", 429)
    assert (error.message, error.param, error.retry_after_s) == ("Slow down.", "text", 1.5)


async def test_errors_of_one_status_keep_their_codes(serve: Serve, client: RpcClient) -> None:
    async def refuse(_: Ask) -> Answer:
        raise BudgetExceededError("Spent.")

    await serve(refuse)
    with pytest.raises(ServiceError) as caught:
        await client.call(ECHO, Ask("x"))
    assert caught.value.error_code == "budget_exceeded"


async def test_a_failure_nobody_foresaw_shows_nothing_of_the_inside(
    serve: Serve, client: RpcClient, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_: Ask) -> Answer:
        raise KeyError("password=hunter2")

    await serve(fail)
    with caplog.at_level(logging.ERROR), pytest.raises(ServiceError) as caught:
        await client.call(ECHO, Ask("x"))
    assert (caught.value.error_code, caught.value.error_status) == ("internal_error", 500)
    assert "hunter2" not in caught.value.message
    assert "hunter2" in caplog.text


async def test_when_nobody_listens_nothing_was_done(client: RpcClient) -> None:
    with pytest.raises(UnavailableError, match="Nobody answers"):
        await client.call(ECHO, Ask("x"))


async def test_a_deadline_ends_the_wait_and_the_work(serve: Serve, client: RpcClient) -> None:
    ended = asyncio.Event()

    async def hang(_: Ask) -> Answer:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    await serve(hang)
    with pytest.raises(ServiceError) as caught:
        await client.call(ECHO, Ask("x"), timeout_s=0.2)
    assert caught.value.error_status == DeadlineError.status
    assert caught.value.error_code == DeadlineError.code
    async with asyncio.timeout(5):
        await ended.wait()


async def test_calls_run_at_the_same_time(serve: Serve, client: RpcClient) -> None:
    everyone = asyncio.Barrier(64)

    async def meet(ask: Ask) -> Answer:
        await everyone.wait()
        return Answer(ask.text)

    await serve(meet)
    calls = [client.call(ECHO, Ask(str(number)), timeout_s=10) for number in range(64)]
    assert [answer.text for answer in await asyncio.gather(*calls)] == [str(number) for number in range(64)]


@pytest.mark.parametrize(
    ("data", "headers", "code"),
    [
        (b"\xc1", None, "invalid_request"),
        (b"\x81\xa4text\x01", None, "invalid_request"),
        (b"\x81\xa4text\xa2\xff\xfe", None, "invalid_request"),
        (b"\x81\xa4text\xa1x", {"Tollway-Timeout-Ms": "soon"}, "internal_error"),
    ],
)
async def test_a_malformed_call_is_refused_at_once(
    serve: Serve, bus: Bus, data: bytes, headers: dict[str, str] | None, code: str
) -> None:
    await serve(echo)
    reply = await bus.client.request(ECHO.subject, data, timeout=2, headers=headers)
    assert msgspec.msgpack.decode(reply.data, type=RpcError).code == code


async def test_a_call_that_wants_no_answer_disturbs_nobody(serve: Serve, client: RpcClient, bus: Bus) -> None:
    await serve(echo)
    await bus.client.publish(ECHO.subject, msgspec.msgpack.encode(Ask("x")))
    assert await client.call(ECHO, Ask("y")) == Answer("y")
    assert bus.client.stats["reconnects"] == 0


async def test_a_handler_may_return_a_future_and_is_answered_when_it_is_done(
    serve: Serve, client: RpcClient
) -> None:
    asked: list[asyncio.Future[Answer]] = []

    def queue(ask: Ask) -> asyncio.Future[Answer]:
        if ask.text == "refused":
            raise RateLimitedError("Slow down.")
        asked.append(asyncio.get_running_loop().create_future())
        if len(asked) == 3:
            asked[0].set_result(Answer("first"))
            asked[1].set_exception(BudgetExceededError("Spent."))
        return asked[-1]

    await serve(queue)
    texts = ("a", "b", "c", "refused")
    outcomes = await asyncio.gather(
        *(client.call(ECHO, Ask(text), timeout_s=0.5) for text in texts), return_exceptions=True
    )
    assert outcomes[0] == Answer("first")
    codes = [error.error_code for error in outcomes[1:] if isinstance(error, ServiceError)]
    assert codes == [BudgetExceededError.code, DeadlineError.code, RateLimitedError.code]
    await asyncio.wait(asked[2:], timeout=5)  # the server's clock is not the client's
    assert asked[2].cancelled()


async def test_an_answer_that_cannot_be_sent_is_an_error_not_a_silence(
    serve: Serve, client: RpcClient, bus: Bus
) -> None:
    async def flood(_: Ask) -> Answer:
        return Answer("x" * (bus.client.max_payload + 1))

    await serve(flood)
    with pytest.raises(ServiceError) as caught:
        await client.call(ECHO, Ask("x"))
    assert caught.value.error_status == 500


async def test_a_server_that_stops_finishes_what_it_began(serve: Serve, client: RpcClient) -> None:
    entered, release = asyncio.Event(), asyncio.Event()

    async def wait(ask: Ask) -> Answer:
        entered.set()
        await release.wait()
        return Answer(ask.text)

    server = await serve(wait)
    call = asyncio.create_task(client.call(ECHO, Ask("x"), timeout_s=10))
    await entered.wait()
    stopping = asyncio.create_task(server.stop())
    refusal = ""
    while refusal != UnavailableError.code:  # until the broker knows that nobody takes calls any more
        try:
            await client.call(ECHO, Ask("y"), timeout_s=0.2)
        except ServiceError as error:
            refusal = error.error_code
    release.set()
    assert await call == Answer("x")
    await stopping


async def test_a_trace_reaches_the_other_service(bus: Bus) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    telemetry = Telemetry("sample", "r", "", 1.0, provider)
    server = RpcServer(bus, "sample", telemetry)
    server.add(ECHO, echo)
    await server.start()
    with telemetry.span("request", SpanKind.CLIENT):
        await RpcClient(bus, telemetry).call(ECHO, Ask("x"))
    await server.stop()
    served, asked = exporter.get_finished_spans()
    assert served.name == ECHO.subject
    assert served.parent is not None
    assert served.parent.span_id == asked.context.span_id


async def test_calls_work_again_when_the_broker_is_back(nats_server: EmbeddedNats) -> None:
    bus = await Bus.connect(nats_server.url(OWN_USER), "tests")
    back = asyncio.Event()

    async def on_return() -> None:
        back.set()

    bus.on_reconnect(on_return)
    server = RpcServer(bus, "sample", OFF)
    server.add(ECHO, echo)
    await server.start()
    nats_server.kill()
    with pytest.raises(ServiceError) as caught:
        await RpcClient(bus).call(ECHO, Ask("x"), timeout_s=0.3)
    assert caught.value.error_status in (503, 504)
    await asyncio.to_thread(nats_server.start)
    await back.wait()
    assert await RpcClient(bus).call(ECHO, Ask("x")) == Answer("x")
    await server.stop()
    await bus.close()


async def test_a_server_without_a_broker_stops_all_the_same(nats_server: EmbeddedNats) -> None:
    bus = await Bus.connect(nats_server.url(OWN_USER), "tests")
    server = RpcServer(bus, "sample", OFF)
    server.add(ECHO, echo)
    await server.start()
    nats_server.kill()
    async with asyncio.timeout(10):
        await server.stop()
        await bus.close()
