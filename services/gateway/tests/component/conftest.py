"""A gateway on real PostgreSQL and NATS behind a real socket, with a small service behind it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

import asyncpg
import httpx
import pytest
import uvicorn

from common.kit.principal import PrincipalSigner
from common.testing.clock import FakeClock
from common.testing.plugin import DatabaseFactory
from common.testing.server_process import free_port
from gateway.app import create_app
from gateway.settings import Settings

ADMIN_KEY = "operator-key-for-tests"
PRINCIPAL_KEYS = "k1:" + "s" * 32

Asgi = Callable[..., Awaitable[None]]


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(app: Any, lifespan: str = "on") -> AsyncIterator[str]:
    """The app behind a socket of this machine, as `common.kit.serve` runs it; yields its URL."""
    port = free_port()
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=port,
        lifespan=lifespan,  # type: ignore[arg-type]
        http="httptools",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve())
    try:
        while not server.started:
            assert not task.done(), "the server did not start"
            await asyncio.sleep(0.005)  # reason: uvicorn tells nobody when it listens
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task


class Service:
    """The service behind the gateway: records what reaches it and answers by the ASGI app a test sets."""

    def __init__(self) -> None:
        self.scopes: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []
        self.gone = asyncio.Event()
        self.app: Asgi | None = None
        self.url = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        if self.app is not None:
            await self.app(scope, receive, send)
            return
        self.bodies.append(await read_all(receive))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    def headers(self) -> dict[bytes, list[bytes]]:
        """Of the last request."""
        found: dict[bytes, list[bytes]] = {}
        for name, value in self.scopes[-1]["headers"]:
            found.setdefault(name, []).append(value)
        return found


async def read_all(receive: Any) -> bytes:
    """The request's whole body."""
    body: bytes = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


class Suite:
    """A database, a broker account, a service behind, and as many gateway replicas as a test starts."""

    def __init__(self, dsn: str, nats_url: str, service: Service, stack: AsyncExitStack) -> None:
        self.dsn = dsn
        self.nats_url = nats_url
        self.service = service
        self.admin_key = ADMIN_KEY
        self.signer = PrincipalSigner(PRINCIPAL_KEYS)
        self.clock = FakeClock()
        self.admin: httpx.AsyncClient
        self._stack = stack

    async def start(self, **settings: Any) -> httpx.AsyncClient:
        """A running replica, as a client that holds the operator's key."""
        values: dict[str, Any] = {
            "port": 1,
            "ops_port": free_port(),
            "database_url": self.dsn,
            "nats_url": self.nats_url,
            "principal_keys": PRINCIPAL_KEYS,
            "key_pepper": "pepper-for-the-tests",
            "admin_key": ADMIN_KEY,
            "chat_relay_url": self.service.url,
            "billing_url": self.service.url,
            "log_level": "WARNING",
        }
        app = create_app(Settings(**(values | settings)), self.clock.now)
        url = await self._stack.enter_async_context(serving(app))
        headers = {"authorization": f"Bearer {ADMIN_KEY}"}
        return await self._stack.enter_async_context(httpx.AsyncClient(base_url=url, headers=headers))

    async def browser(self, replica: httpx.AsyncClient | None = None) -> httpx.AsyncClient:
        """A client without any key, which keeps cookies and follows no redirect."""
        url = (replica or self.admin).base_url
        return await self._stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=60))

    async def user(self, email: str = "ann@example.com", **fields: Any) -> Any:
        """A new person, as the API shows them."""
        answer = await self.admin.post("/api/users", json={"email": email, **fields})
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def key(self, email: str = "ann@example.com", **fields: Any) -> Any:
        """A new key of a person, who is made when missing; `headers` is how to use it."""
        made = await self.admin.post("/api/users", json={"email": email})
        assert made.status_code in (201, 409), made.text
        answer = await self.admin.post("/api/keys", json={"email": email, "name": "main", **fields})
        assert answer.status_code == 201, answer.text
        key = answer.json()
        return {**key, "headers": {"authorization": f"Bearer {key['secret']}"}}

    async def rows(self, sql: str) -> list[Any]:
        """What the database says."""
        connection = await asyncpg.connect(self.dsn)
        try:
            return list(await connection.fetch(sql))
        finally:
            await connection.close()


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """A running Service."""
    service = Service()
    async with serving(service, lifespan="off") as service.url:
        yield service


@pytest.fixture
async def bare_suite(database: DatabaseFactory, nats_url: str, service: Service) -> AsyncIterator[Suite]:
    """A Suite without a replica."""
    async with AsyncExitStack() as stack:
        yield Suite(await database("gateway"), nats_url, service, stack)


@pytest.fixture
async def suite(bare_suite: Suite) -> Suite:
    """A Suite with one replica, whose client is `admin`."""
    bare_suite.admin = await bare_suite.start()
    return bare_suite
