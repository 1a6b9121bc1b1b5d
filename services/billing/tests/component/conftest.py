"""Billing alone on real PostgreSQL and NATS, and the people who call it."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import msgspec
import pytest
import uvicorn
from litestar import Litestar
from sqlalchemy import text

from billing.app import create_app
from billing.settings import Settings
from common.contracts.leases import (
    LEASE_CLOSE,
    LEASE_REQUEST,
    LeaseClose,
    LeaseClosed,
    LeaseGrant,
    LeaseRequest,
)
from common.contracts.principals import Principal
from common.contracts.usage import UsageBatch, UsageRecord
from common.kit.bus import Bus
from common.kit.db import Database
from common.kit.ids import uuid7
from common.kit.money import cost_nano
from common.kit.principal import PrincipalSigner
from common.kit.rpc import RpcClient
from common.testing.clock import FakeClock
from common.testing.lifespans import running
from common.testing.plugin import DatabaseFactory
from common.testing.server_process import free_port

KEYS = "k1:a-secret-of-sixteen-bytes"
USD = 1_000_000_000
QUANTITIES = {"input": 1000, "output": 100}
PRICES = {"input": 150_000, "output": 600_000}
COST = cost_nano(QUANTITIES, PRICES, 1_000_000)
WAIT_S = 20.0


class Billing:
    """One database, one broker account, as many replicas of billing as a test starts."""

    def __init__(self, dsn: str, nats_url: str, clock: FakeClock, stack: AsyncExitStack, bus: Bus) -> None:
        self.dsn = dsn
        self.nats_url = nats_url
        self.clock = clock
        self.bus = bus
        self.database = Database(dsn, 2)
        self.rpc = RpcClient(bus)
        self._stack = stack
        self._signer = PrincipalSigner(KEYS)
        self.http: httpx.AsyncClient
        self.apps: list[Litestar] = []

    async def start_replica(self, **settings: Any) -> None:
        """One more replica; `http` talks to the newest."""
        values: dict[str, Any] = {
            "seed_prices": False,
            "sweep_interval_s": 0.05,
            "lease_ttl_s": 30.0,
            "seal_interval_s": 3600.0,
        } | settings
        app = create_app(
            Settings(
                port=0,
                ops_port=free_port(),
                database_url=self.dsn,
                nats_url=self.nats_url,
                principal_keys=KEYS,
                log_level="WARNING",
                **values,
            ),
            self.clock.now,
        )
        await self._stack.enter_async_context(running(app))
        self.apps.append(app)
        transport = httpx.ASGITransport(app=cast("Any", app))
        self.http = await self._stack.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url="http://billing")
        )

    def headers(self, account: str, *scopes: str) -> dict[str, str]:
        """What the gateway would send for a key of `account`."""
        principal = Principal(
            account=account,
            user=uuid7(),
            spender=uuid7(),
            group="default",
            rate_micro=1_000_000,
            request_id="r-12345678",
            expires_at_s=int(time.time()) + 60,
            scopes=("relay", "account", *scopes),
        )
        return {"x-tollway-principal": self._signer.sign(principal).decode()}

    async def topup(self, account: str, amount: str, key: str | None = None) -> httpx.Response:
        """An admin's top-up."""
        headers = self.headers("admin", "admin") | ({"Idempotency-Key": key} if key else {})
        body = {"account": account, "amount": amount, "reason": "test"}
        return await self.http.post("/api/billing/topups", json=body, headers=headers)

    async def funded(self, amount: str = "10") -> str:
        """A new account with money."""
        account = uuid7()
        response = await self.topup(account, amount)
        assert response.status_code == 201, response.text
        return account

    async def request(self, **fields: Any) -> LeaseGrant:
        """LEASE_REQUEST with defaults."""
        values: dict[str, Any] = {
            "lease": uuid7(),
            "sequence": 0,
            "replica": "relay-1",
            "spender": uuid7(),
        } | fields
        return await self.rpc.call(LEASE_REQUEST, LeaseRequest(**values), 10)

    async def close(self, lease: str, sequence: int, unspent_nano: int) -> LeaseClosed:
        """LEASE_CLOSE."""
        return await self.rpc.call(LEASE_CLOSE, LeaseClose(lease, sequence, unspent_nano), 10)

    def record(self, account: str, spender: str, lease: str = "", **fields: Any) -> UsageRecord:
        """A finished request of COST nano-USD."""
        values: dict[str, Any] = {
            "id": uuid7(),
            "request_id": uuid7(),
            "account": account,
            "user": uuid7(),
            "spender": spender,
            "lease": lease,
            "operation": "chat",
            "model": "gpt-4o-mini",
            "upstream_model": "gpt-4o-mini",
            "channel": "sim",
            "group": "default",
            "started_at_ms": int(self.clock.time() * 1000),
            "duration_ms": 12,
            "first_byte_ms": 3,
            "status": 200,
            "outcome": "ok",
            "quantities": QUANTITIES,
            "unit_pico": PRICES,
            "price_version": 1,
            "rate_micro": 1_000_000,
            "cost_nano": COST,
        }
        return UsageRecord(**(values | fields))

    async def publish(self, *records: UsageRecord) -> None:
        """As a relay does, with a fresh Nats-Msg-Id."""
        data = msgspec.msgpack.encode(UsageBatch("relay-1", records))
        await self.bus.publish("intake.usage.relay-1", data, {"Nats-Msg-Id": uuid7()})

    async def rows(self, query: str, **values: Any) -> Sequence[Any]:
        """What the database says."""
        async with self.database.transaction() as connection:
            return (await connection.execute(text(query), values)).all()

    async def change(self, *statements: str) -> None:
        """Edit the database behind billing's back."""
        async with self.database.transaction() as connection:
            for statement in statements:
                await connection.execute(text(statement))

    async def balance(self, account: str) -> tuple[int, int]:
        """(wallet, held) in nano-USD."""
        query = "SELECT kind, credits - debits FROM accounts WHERE customer = CAST(:account AS uuid)"
        found = {row[0]: row[1] for row in await self.rows(query, account=account)}
        return found.get("wallet", 0), found.get("held", 0)

    async def audit(self, **body: Any) -> dict[str, Any]:
        """The audit's report, checks by name."""
        headers = self.headers("admin", "admin")
        response = await self.http.post("/api/billing/audit", json=body, headers=headers)
        assert response.status_code == 200, response.text
        report: dict[str, Any] = response.json()
        return {"ok": report["ok"], **{check["name"]: check for check in report["checks"]}}

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Poll what no event announces; fails after WAIT_S."""
        async with asyncio.timeout(WAIT_S):
            while not await condition():  # noqa: ASYNC110  the database does not call back
                await asyncio.sleep(0.02)  # reason: as above

    async def until_charged(self, count: int) -> None:
        """Wait for that many usage records."""

        async def charged() -> bool:
            return bool((await self.rows("SELECT count(*) FROM usage_records"))[0][0] >= count)

        await self.until(charged)

    async def events(self, stream: str, count: int) -> list[dict[str, Any]]:
        """The first `count` public events of a stream, in order."""
        subscription = await self.bus.jetstream.subscribe(f"{stream}.>", ordered_consumer=True)
        events: list[dict[str, Any]] = []
        async with asyncio.timeout(WAIT_S):
            while len(events) < count:
                message = await subscription.next_msg(timeout=WAIT_S)
                events.append(msgspec.json.decode(message.data))
        await subscription.unsubscribe()
        return events


@pytest.fixture
async def bare_billing(
    database: DatabaseFactory, nats_url: str, clock: FakeClock, tmp_path: Path
) -> AsyncIterator[Billing]:
    """A billing without a replica."""
    async with AsyncExitStack() as stack:
        bus = await Bus.connect(nats_url, "test")
        stack.push_async_callback(bus.close)
        suite = Billing(await database("billing"), nats_url, clock, stack, bus)
        stack.push_async_callback(suite.database.close)
        yield suite


@pytest.fixture
async def billing(bare_billing: Billing) -> Billing:
    """One running replica."""
    await bare_billing.start_replica()
    return bare_billing


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def _listening(app: Litestar) -> AsyncIterator[str]:
    """The running app behind a socket of this machine; yields its URL."""
    port = free_port()
    config = uvicorn.Config(app, host="127.0.0.1", port=port, lifespan="off", log_config=None)
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


class Till:
    """Billing with a Stripe that pays, refunds and disputes on command, and sends its events to a replica."""

    SECRET = "whsec_of_the_endpoint"

    def __init__(self, billing: Billing, simulator: str, stack: AsyncExitStack) -> None:
        self.billing = billing
        self.base = f"{simulator}/stripe"
        self.stripe = httpx.AsyncClient(base_url=self.base, timeout=60)
        self.urls: list[str] = []
        self._stack = stack

    async def start(self, *, listens: bool = True, **settings: Any) -> None:
        """One more replica, with an endpoint of its own at Stripe if it `listens`."""
        values = {
            "stripe_api_key": "sk_test_any",
            "stripe_webhook_secrets": f"whsec_old,{self.SECRET}",
            "stripe_api_base": self.base,
            "payment_return_url": "http://127.0.0.1:1/thanks",
            "code_pepper": "a-pepper-of-sixteen-and-more",
        } | settings
        await self.billing.start_replica(**values)
        self.urls.append(await self._stack.enter_async_context(_listening(self.billing.apps[-1])))
        if listens:
            await self.control("endpoints", url=f"{self.urls[-1]}/webhooks/stripe", secret=self.SECRET)

    async def control(self, path: str, **body: Any) -> dict[str, Any]:
        """What no seller can ask of Stripe."""
        answer = await self.stripe.post(f"/_sim/{path}", json=body)
        assert answer.status_code in (200, 402), answer.text
        result: dict[str, Any] = answer.json()
        return result

    async def ask(self, path: str) -> dict[str, Any]:
        """What Stripe's API answers."""
        answer = await self.stripe.get(f"/v1/{path}", headers={"authorization": "Bearer sk_test_any"})
        assert answer.status_code == 200, answer.text
        result: dict[str, Any] = answer.json()
        return result

    async def settled(self) -> list[dict[str, Any]]:
        """Every delivery, once none is under way."""
        answer = await self.stripe.get("/_sim/deliveries", params={"settled": ""})
        deliveries: list[dict[str, Any]] = answer.json()["deliveries"]
        return deliveries

    async def order(self, account: str, key: str | None = None, **fields: Any) -> httpx.Response:
        """POST /api/billing/payments."""
        body = {"amount": "10", "method": "stripe_checkout", "email": "ann@example.com"} | fields
        headers = self.billing.headers(account) | ({"Idempotency-Key": key} if key else {})
        return await self.billing.http.post("/api/billing/payments", json=body, headers=headers)

    async def ordered(self, account: str, **fields: Any) -> dict[str, Any]:
        """An open payment, with its object at Stripe as `object`."""
        answer = await self.order(account, **fields)
        assert answer.status_code == 201, answer.text
        payment: dict[str, Any] = answer.json()
        rows = await self.billing.rows(
            "SELECT stripe_object FROM payments WHERE id = CAST(:id AS uuid)", id=payment["id"]
        )
        return payment | {"object": rows[0][0]}

    async def paid(self, account: str, **fields: Any) -> dict[str, Any]:
        """A payment that was paid and credited."""
        payment = await self.ordered(account, **fields)
        await self.control(f"pay/{payment['object']}")
        await self.settled()
        assert (await self.read(payment["id"]))["status"] == "succeeded"
        return payment

    async def read(self, payment: str) -> dict[str, Any]:
        """GET /api/billing/payments/{id}, by an admin."""
        headers = self.billing.headers("admin", "admin")
        answer = await self.billing.http.get(f"/api/billing/payments/{payment}", headers=headers)
        result: dict[str, Any] = answer.json()
        return result

    async def refund(self, payment: str, key: str | None = None, **body: Any) -> httpx.Response:
        """An admin's refund."""
        headers = self.billing.headers("admin", "admin") | ({"Idempotency-Key": key} if key else {})
        path = f"/api/billing/payments/{payment}/refunds"
        return await self.billing.http.post(path, json={"reason": "asked"} | body, headers=headers)


@pytest.fixture
async def paying(bare_billing: Billing, simulator: str) -> AsyncIterator[Till]:
    """Billing whose replicas all take payments."""
    async with AsyncExitStack() as stack:
        till = Till(bare_billing, simulator, stack)
        stack.push_async_callback(till.stripe.aclose)
        await till.control("reset")
        stack.push_async_callback(till.control, "reset")
        await till.start()
        yield till


@pytest.fixture
async def till(billing: Billing, simulator: str) -> AsyncIterator[Till]:
    """Billing with one replica that takes payments, beside the one that does not."""
    async with AsyncExitStack() as stack:
        till = Till(billing, simulator, stack)
        stack.push_async_callback(till.stripe.aclose)
        await till.control("reset")
        stack.push_async_callback(till.control, "reset")
        await till.start()
        yield till
