"""What the plugin gives every service: probes, metrics, one error shape."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx
import msgspec
import pytest
from litestar import Litestar, get, post
from litestar.params import FromQuery, JSONBody

from common.contracts.errors import RateLimitedError
from common.kit.plugin import ServicePlugin
from common.kit.settings import ServiceSettings
from common.testing.server_process import free_port


class Order(msgspec.Struct):
    """A body."""

    item: str
    count: int


@get("/refused")
async def refused() -> None:
    raise RateLimitedError("Slow down.", retry_after_s=2.5)


@get("/broken")
async def broken() -> None:
    raise KeyError("password=hunter2")


@get("/search")
async def search(limit: FromQuery[int]) -> int:
    return limit


@post("/orders")
async def order(data: JSONBody[Order]) -> str:
    return data.item


@pytest.fixture
def plugin() -> Iterator[ServicePlugin]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    settings = ServiceSettings(port=0, ops_port=free_port(), nats_url="", principal_keys="")
    yield ServicePlugin("sample", settings)
    root.handlers, root.level = handlers, level


@pytest.fixture
def app(plugin: ServicePlugin) -> Litestar:
    return Litestar([refused, broken, search, order], plugins=[plugin], openapi_config=None)


@pytest.fixture
async def client(app: Litestar) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://sample") as connection:
        yield connection


@asynccontextmanager
async def operations(app: Litestar, plugin: ServicePlugin) -> AsyncIterator[httpx.AsyncClient]:
    """The service started, and a client of its probes."""
    url = f"http://127.0.0.1:{plugin.settings.ops_port}"
    async with app.lifespan(), httpx.AsyncClient(base_url=url) as connection:
        yield connection


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, object]:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (body["status"], body["code"]) == (status, code)
    assert body["request_id"] == answer.headers["x-request-id"]
    return dict(body)


async def test_probes_and_metrics_answer_on_the_port_of_operations(
    app: Litestar, plugin: ServicePlugin
) -> None:
    async with operations(app, plugin) as ops:
        assert (await ops.get("/healthz")).json() == {"status": "ok"}
        ready = await ops.get("/readyz")
        assert (ready.status_code, ready.json()["checks"]) == (200, {"startup": "ok"})
        metrics = await ops.get("/metrics")
        assert metrics.headers["content-type"].startswith("text/plain")
        assert "tollway_http_requests_in_flight" in metrics.text
        assert (await ops.get("/search?limit=1")).status_code == 404


async def test_a_service_with_a_part_away_is_healthy_and_not_ready(
    app: Litestar, plugin: ServicePlugin
) -> None:
    async def away() -> None:
        raise ConnectionError("postgresql://user:hunter2@host")

    async def hang() -> None:
        await asyncio.Event().wait()

    async def there() -> None:
        return None

    plugin.checks.update(database=away, upstream=hang, broker=there)
    async with operations(app, plugin) as ops:
        ready = await ops.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["checks"] == {
            "startup": "ok",
            "database": "ConnectionError",
            "upstream": "TimeoutError",
            "broker": "ok",
        }
        assert (await ops.get("/healthz")).status_code == 200


async def test_while_connections_open_a_service_is_alive_and_not_ready(plugin: ServicePlugin) -> None:
    seen: list[int] = []

    @asynccontextmanager
    async def opening(_: Litestar) -> AsyncIterator[None]:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{plugin.settings.ops_port}") as ops:
            seen.extend([(await ops.get("/healthz")).status_code, (await ops.get("/readyz")).status_code])
        yield

    async with Litestar([], plugins=[plugin], lifespan=[opening]).lifespan():
        pass
    assert seen == [200, 503]


async def test_the_port_is_free_again_after_the_service(app: Litestar, plugin: ServicePlugin) -> None:
    before = asyncio.all_tasks()
    async with app.lifespan():
        pass
    socket.create_server(("127.0.0.1", plugin.settings.ops_port)).close()
    assert asyncio.all_tasks() == before


async def test_a_taken_port_is_an_error_of_the_start(app: Litestar, plugin: ServicePlugin) -> None:
    taken = socket.create_server(("127.0.0.1", plugin.settings.ops_port))
    with taken, pytest.raises(ExceptionGroup) as caught:
        await app.lifespan().__aenter__()
    assert "in use" in str(caught.value.exceptions[0])


async def test_a_refusal_is_a_problem(client: httpx.AsyncClient) -> None:
    answer = await client.get("/refused", headers={"x-request-id": "request-1"})
    body = problem(answer, 429, "rate_limit_exceeded")
    assert body["detail"] == "Slow down."
    assert body["request_id"] == "request-1"
    assert answer.headers["retry-after"] == "3"
    assert answer.headers["content-length"] == str(len(answer.content))


async def test_a_request_id_that_is_no_token_is_replaced(client: httpx.AsyncClient) -> None:
    body = problem(
        await client.get("/refused", headers={"x-request-id": "<script>"}), 429, "rate_limit_exceeded"
    )
    assert body["request_id"] != "<script>"


@pytest.mark.parametrize(
    ("body", "param"),
    [({"item": "x", "count": "many"}, "count"), ({"item": "x"}, None), ({"item": 1, "count": 1}, "item")],
)
async def test_a_malformed_body_is_told_by_its_field(
    client: httpx.AsyncClient, body: dict[str, object], param: str | None
) -> None:
    told = problem(await client.post("/orders", json=body), 400, "invalid_request")
    if param:
        assert told["param"] == param
    else:
        assert "count" in str(told["detail"])


async def test_a_malformed_parameter_is_told_by_its_name(client: httpx.AsyncClient) -> None:
    assert problem(await client.get("/search?limit=x"), 400, "invalid_request")["param"] == "limit"
    assert problem(await client.get("/search"), 400, "invalid_request")


async def test_what_is_no_json_is_a_bad_request(client: httpx.AsyncClient) -> None:
    for content in (b"{", b"\xff\xfe"):
        headers = {"content-type": "application/json"}
        answer = await client.post("/orders", content=content, headers=headers)
        assert "Traceback" not in str(problem(answer, 400, "invalid_request")["detail"])


async def test_a_failure_nobody_foresaw_shows_nothing_of_the_inside(client: httpx.AsyncClient) -> None:
    answer = await client.get("/broken")
    assert problem(answer, 500, "internal_error")["detail"] == "Internal error."
    assert "hunter2" not in answer.text


async def test_paths_and_methods_that_do_not_exist(client: httpx.AsyncClient) -> None:
    problem(await client.get("/nowhere"), 404, "not_found")
    problem(await client.delete("/orders"), 405, "method_not_allowed")
