"""The OAuth service alone on real PostgreSQL and NATS; the gateway's sessions are a table of the test."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

import asyncpg
import httpx
import pytest
from litestar import Litestar

from common.contracts.errors import ServiceError
from common.contracts.identity import SESSION_CHECK, SessionCheck, SessionFound
from common.contracts.principals import Principal
from common.kit.bus import Bus
from common.kit.ids import uuid7
from common.kit.principal import PrincipalSigner
from common.kit.rpc import RpcClient, RpcServer
from common.kit.telemetry import Telemetry
from common.testing.clock import FakeClock
from common.testing.plugin import DatabaseFactory
from common.testing.server_process import free_port
from oauth.app import create_app
from oauth.settings import Settings

ISSUER = "http://127.0.0.1:8080"
KEYS = "k1:a-secret-of-sixteen-bytes"
COOKIE = "tollway_session"


class People:
    """The gateway's side: who is signed in, answered on `rpc.gateway.session.check.v1`."""

    def __init__(self, clock: FakeClock) -> None:
        self.sessions: dict[str, SessionFound] = {}
        self._clock = clock

    def sign_in(self, email: str = "ann@example.com", role: str = "user") -> tuple[str, SessionFound]:
        """A new session: the cookie's value, and who it is."""
        token = uuid7().replace("-", "") + "x" * 11
        found = SessionFound(
            session=uuid7(),
            user=uuid7(),
            account=uuid7(),
            email=email,
            role=role,
            csrf=f"csrf-{uuid7()}",
            expires_at_s=int(self._clock.time()) + 3600,
            auth_time_s=int(self._clock.time()),
        )
        self.sessions[token] = found
        return token, found

    async def check(self, request: SessionCheck) -> SessionFound:
        """As the gateway answers."""
        found = self.sessions.get(request.token)
        if found is None:
            raise ServiceError("You are not signed in.", code="not_signed_in", status=401)
        return found


class OAuth:
    """One database, one broker account, as many replicas as a test starts; `http` talks to the newest."""

    def __init__(self, dsn: str, nats_url: str, bus: Bus, stack: AsyncExitStack) -> None:
        self.dsn = dsn
        self.nats_url = nats_url
        self.bus = bus
        self.rpc = RpcClient(bus)
        self.clock = FakeClock()
        self.people = People(self.clock)
        self.stack = stack
        self.http: httpx.AsyncClient
        self._signer = PrincipalSigner(KEYS)

    async def start_replica(self, **settings: Any) -> httpx.AsyncClient:
        """One more replica, and a client of it that keeps cookies and follows no redirect."""
        values: dict[str, Any] = {
            "port": 1,
            "ops_port": free_port(),
            "database_url": self.dsn,
            "nats_url": self.nats_url,
            "principal_keys": KEYS,
            "issuer": ISSUER,
            "token_pepper": "pepper-for-the-tests",
            "secret_key": "secret-key-for-the-tests",
            "allow_private": True,
            "log_level": "WARNING",
        }
        app = create_app(Settings(**(values | settings)), self.clock.now)
        await self.stack.enter_async_context(running(app))
        transport = httpx.ASGITransport(app=cast("Any", app))
        self.http = await self.stack.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url=ISSUER)
        )
        return self.http

    def owner(self, user: str | None = None, account: str | None = None, *scopes: str) -> dict[str, str]:
        """Headers as the gateway sends them for a person's API key; with the scope `admin` an admin's."""
        principal = Principal(
            account=account or uuid7(),
            user=user or uuid7(),
            spender=uuid7(),
            group="default",
            rate_micro=1_000_000,
            request_id="r-12345678",
            expires_at_s=2**40,
            scopes=("relay", "account", *scopes),
        )
        return {"x-tollway-principal": self._signer.sign(principal).decode()}

    def grantee(self) -> dict[str, str]:
        """Headers of an app that acts for a person, with every scope: more than the gateway would sign."""
        principal = Principal(
            account=uuid7(),
            user=uuid7(),
            spender=uuid7(),
            group="default",
            rate_micro=1_000_000,
            request_id="r-12345678",
            expires_at_s=2**40,
            scopes=("relay", "account", "admin"),
            spender_kind="grant",
            app="cards",
        )
        return {"x-tollway-principal": self._signer.sign(principal).decode()}

    async def rows(self, sql: str, *values: Any) -> list[Any]:
        """What the database says."""
        connection = await asyncpg.connect(self.dsn)
        try:
            return list(await connection.fetch(sql, *values))
        finally:
            await connection.close()


@asynccontextmanager
async def running(app: Litestar) -> AsyncIterator[None]:
    """The app's lifespan in one task: fixtures begin and end in two, which anyio forbids."""
    started, stop = asyncio.Event(), asyncio.Event()

    async def run() -> None:
        async with app.lifespan():
            started.set()
            await stop.wait()

    task = asyncio.create_task(run())
    waiting = asyncio.create_task(started.wait())
    await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
    try:
        if task.done():
            task.result()
        yield
    finally:
        waiting.cancel()
        stop.set()
        await task


@pytest.fixture
async def bare_oauth(database: DatabaseFactory, nats_url: str) -> AsyncIterator[OAuth]:
    """An OAuth without a replica; the gateway's RPC answers."""
    async with AsyncExitStack() as stack:
        bus = await Bus.connect(nats_url, "test")
        stack.push_async_callback(bus.close)
        oauth = OAuth(await database("oauth"), nats_url, bus, stack)
        gateway = RpcServer(bus, "gateway", Telemetry("test", "test-0", "", 0.0))
        gateway.add(SESSION_CHECK, oauth.people.check)
        await gateway.start()
        stack.push_async_callback(gateway.stop)
        yield oauth


@pytest.fixture
async def oauth(bare_oauth: OAuth) -> OAuth:
    """An OAuth with one replica."""
    await bare_oauth.start_replica()
    return bare_oauth
