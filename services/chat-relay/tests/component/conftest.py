"""The relay alone: real PostgreSQL and NATS, a real socket, a fake billing that speaks the contracts."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import msgspec
import pytest
import uvicorn
from nats.aio.msg import Msg
from nats.js.api import KeyValueConfig

from chat_relay.app import create_app
from chat_relay.settings import Settings
from common.contracts.billing import LeaseRecalled
from common.contracts.errors import ServiceError
from common.contracts.leases import (
    LEASE_CALLS,
    LEASE_CLOSE,
    LEASE_REQUEST,
    LeaseCalls,
    LeaseClose,
    LeaseClosed,
    LeaseGrant,
    LeaseOutcome,
    LeaseOutcomes,
    LeaseRequest,
)
from common.contracts.prices import PRICES_BUCKET, PRICES_KEY, Price, PriceBook
from common.contracts.principals import Limits, Principal
from common.contracts.rpc import RpcError
from common.contracts.usage import UsageBatch, UsageRecord
from common.kit.bus import Bus
from common.kit.ids import uuid7
from common.kit.principal import PrincipalSigner
from common.kit.rpc import RpcServer
from common.kit.telemetry import Telemetry
from common.testing.server_process import free_port
from simulators.fixtures import simulator

__all__ = ["simulator"]

KEYS = "k1:0123456789abcdef0123456789abcdef"
UNIT_PICO = {"input": 150_000, "cached_input": 75_000, "output": 600_000}
MODELS = ("gpt-4o-mini", "text-embedding-3-small")


class FakeBilling:
    """Wallets and leases in memory, by the rules of contracts.leases. `refuse` makes calls fail."""

    def __init__(self) -> None:
        self.wallets: dict[str, int] = {}
        self.default_nano = 10_000_000_000
        self.ttl_s = 30.0
        self.requests: list[LeaseRequest] = []
        self.closes: list[LeaseClose] = []
        self.answers: dict[tuple[str, int], LeaseGrant] = {}
        self.granted: dict[str, int] = {}
        self.accounts: dict[str, str] = {}
        self.records: list[UsageRecord] = []
        self.refuse: ServiceError | None = None
        self.swallow = 0
        self._changed = asyncio.Event()

    def serve(self, server: RpcServer) -> None:
        server.add(LEASE_REQUEST, self.request)
        server.add(LEASE_CLOSE, self.close)
        server.add(LEASE_CALLS, self.calls)

    async def request(self, request: LeaseRequest) -> LeaseGrant:
        self.requests.append(request)
        if self.refuse is not None:
            raise self.refuse
        known = self.answers.get((request.lease, request.sequence))
        if known is None:
            known = self.answers[request.lease, request.sequence] = self._grant(request)
        if self.swallow:
            self.swallow -= 1
            await asyncio.sleep(10)  # reason: the reply is lost: the caller's deadline passes first
        return known

    async def calls(self, calls: LeaseCalls) -> LeaseOutcomes:
        async def granted(request: LeaseRequest) -> LeaseOutcome:
            try:
                return LeaseOutcome(granted=await self.request(request))
            except ServiceError as error:
                return LeaseOutcome(refused=RpcError.of(error))

        async def closed(close: LeaseClose) -> LeaseOutcome:
            try:
                return LeaseOutcome(closed=await self.close(close))
            except ServiceError as error:
                return LeaseOutcome(refused=RpcError.of(error))

        work = [*map(granted, calls.requests), *map(closed, calls.closes)]
        return LeaseOutcomes(tuple(await asyncio.gather(*work)))

    def _grant(self, request: LeaseRequest) -> LeaseGrant:
        wallet = self.wallets.get(request.account, self.default_nano)
        self.accounts[request.lease] = request.account
        granted = 0
        short = False
        for need in request.needs_nano:
            if need <= wallet - granted:
                granted += need
            else:
                short = True
        if short and not granted and 0 < request.minimum_nano <= wallet:
            granted = min(wallet, request.needs_nano[0])
        low = short or wallet - granted < 20 * request.wants_nano
        if not low:
            granted += max(0, request.wants_nano - granted)
        self.wallets[request.account] = wallet - granted
        self.granted[request.lease] = self.granted.get(request.lease, 0) + granted
        reason = "balance" if short else ""
        left = wallet - granted
        return LeaseGrant(request.lease, request.sequence, granted, self.ttl_s, low, reason, left)

    async def close(self, request: LeaseClose) -> LeaseClosed:
        if self.refuse is not None:
            raise self.refuse
        self.closes.append(request)
        self.wallets[self.accounts[request.lease]] += request.unspent_nano
        self._changed.set()
        return LeaseClosed(request.lease, request.unspent_nano, 0)

    async def on_usage(self, message: Msg) -> None:
        self.records += msgspec.msgpack.decode(message.data, type=UsageBatch).records
        self._changed.set()

    async def until(self, condition: Callable[[], bool], timeout_s: float = 10) -> None:
        """Wait for `condition`, looked at whenever a record or a close came."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def record(self, timeout_s: float = 10) -> UsageRecord:
        """The one record; fails when there are more."""
        await self.until(lambda: bool(self.records), timeout_s)
        assert len(self.records) == 1, self.records
        return self.records[0]


class RelayUnderTest:
    """The running service and what a test needs around it."""

    def __init__(self, settings: Settings, billing: FakeBilling, bus: Bus, simulator_url: str) -> None:
        self.settings = settings
        self.billing = billing
        self.bus = bus
        self.simulator_url = simulator_url
        self.signer = PrincipalSigner(KEYS)
        self.url = f"http://127.0.0.1:{settings.port}"
        self.http = httpx.AsyncClient(base_url=self.url, timeout=30)
        self.account = uuid7()
        self.spender = uuid7()
        self.parts: Any = None  # the composition root of the running service
        self.stop_service: Callable[[], Awaitable[None]] | None = None

    def headers(self, **fields: Any) -> dict[str, str]:
        """Headers of a caller; `fields` of the principal."""
        principal = Principal(
            **{
                "account": self.account,
                "user": uuid7(),
                "spender": self.spender,
                "group": "default",
                "rate_micro": 1_000_000,
                "request_id": uuid7(),
                "expires_at_s": int(time.time()) + 60,
                "limits": Limits(),
                **fields,
            }
        )
        return {"x-tollway-principal": self.signer.sign(principal).decode()}

    def admin(self) -> dict[str, str]:
        """Headers of an admin."""
        return self.headers(scopes=("relay", "account", "admin"))

    async def add_channel(self, name: str = "sim", **fields: Any) -> None:
        """A channel to the simulator."""
        channel = {
            "name": name,
            "kind": "openai",
            "base_url": f"{self.simulator_url}/openai/v1",
            "api_key": "sk-sim-0123456789",
            "models": list(MODELS),
            **fields,
        }
        answer = await self.http.post("/api/channels", json=channel, headers=self.admin())
        assert answer.status_code == 201, answer.text

    async def serve_model(self, *models: str, **fields: Any) -> None:
        """A channel and prices for exactly these models."""
        await self.put_prices(*models)
        await self.add_channel(f"sim-{uuid7()}", models=list(models), **fields)

    async def put_prices(self, *models: str, **fields: Any) -> None:
        """Price the models, and wait until the relay knows."""
        bucket = await self.bus.jetstream.key_value(PRICES_BUCKET)
        version = time.time_ns()
        prices = tuple(
            Price(**{"model": model, "unit_pico": UNIT_PICO, "version": 7, **fields})
            for model in {*MODELS, *models}
        )
        await bucket.put(PRICES_KEY, msgspec.msgpack.encode(PriceBook(version, prices)))
        await self.eventually(lambda: self.parts.prices.version == version)

    async def eventually(self, condition: Callable[[], bool], timeout_s: float = 10) -> None:
        """Wait for what tells nobody when it happens."""
        async with asyncio.timeout(timeout_s):
            while not condition():  # noqa: ASYNC110  there is no event to wait for
                await asyncio.sleep(0.005)  # reason: the interval of a poll

    async def recall(self, account: str) -> None:
        """Billing's recall."""
        event = LeaseRecalled(uuid7(), 1, account)
        await self.bus.client.publish(f"billing.lease.recalled.v1.{account}", msgspec.json.encode(event))

    def chat(self, model: str = "gpt-4o-mini", text: str = "hello there", **fields: Any) -> dict[str, Any]:
        """A chat body."""
        return {"model": model, "messages": [{"role": "user", "content": text}], **fields}

    async def post(self, body: dict[str, Any], path: str = "/v1/chat/completions") -> httpx.Response:
        """One request of the default caller."""
        return await self.http.post(path, json=body, headers=self.headers())

    async def open(self, body: dict[str, Any]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The same over a bare socket, for tests that leave or look at bytes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.settings.port)
        data = msgspec.json.encode(body)
        head = "".join(f"{name}: {value}\r\n" for name, value in self.headers().items())
        writer.write(
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: relay\r\n{head}"
            f"content-length: {len(data)}\r\n\r\n".encode()
            + data
        )
        return reader, writer

    async def last_upstream_request(self) -> dict[str, Any]:
        """What the simulator saw last."""
        answer = await self.http.get(f"{self.simulator_url}/_sim/requests?limit=1")
        seen: dict[str, Any] = answer.json()[-1]
        return seen


class ScriptedUpstream:
    """An upstream that answers every request with the bytes given, in pieces, and then closes or stays."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.stay = False
        self.requests = 0
        self.left = asyncio.Event()
        self.release = asyncio.Event()
        self.release.set()
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        self.requests += 1
        await self.release.wait()
        for piece in self.pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.005)  # reason: so that the pieces arrive one by one
        if self.stay:
            await reader.read()  # until the relay closes
            self.left.set()
        writer.close()

    def json(self, body: bytes) -> None:
        """Answer with a JSON document."""
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n" % len(body)
        self.pieces = [head + b"connection: close\r\n\r\n" + body]

    def stream(self, *events: bytes) -> None:
        """Answer with an event stream of these bytes, delimited by the connection's end."""
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
        self.pieces = [head, *events]


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    """See ScriptedUpstream."""
    scripted = ScriptedUpstream()
    server = await asyncio.start_server(scripted.serve, "127.0.0.1", 0)
    scripted.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield scripted
    server.close()


StartRelay = Callable[..., Awaitable[RelayUnderTest]]


@pytest.fixture
async def start_relay(
    database: Callable[[str], Awaitable[str]], nats_url: str, simulator: str
) -> AsyncIterator[StartRelay]:
    """Starts relays with these settings; everything is closed at the end."""
    stops: list[Callable[[], Awaitable[None]]] = []

    async def start(url: str = nats_url, *, prices: bool = True, **fields: Any) -> RelayUnderTest:
        bus = await Bus.connect(url, "test")
        billing = FakeBilling()
        rpc = RpcServer(bus, "billing", Telemetry("test", "r", "", 0))
        billing.serve(rpc)
        await rpc.start()
        await bus.subscribe("intake.usage.>", billing.on_usage)
        await bus.jetstream.create_key_value(KeyValueConfig(bucket=PRICES_BUCKET))
        port, ops_port = free_port(), free_port()
        settings = Settings(
            **{
                "port": port,
                "ops_port": ops_port,
                "database_url": fields.get("database_url") or await database("chat-relay"),
                "nats_url": url,
                "principal_keys": KEYS,
                "secret_key": "a secret of sixteen bytes or more",
                "lease_idle_s": 0.3,
                **fields,
            }
        )
        app = create_app(settings)
        config = uvicorn.Config(
            app, port=port, http="httptools", lifespan="on", log_config=None, access_log=False
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server._serve())
        async with asyncio.timeout(20):
            while not server.started:
                assert not serving.done(), serving
                await asyncio.sleep(0.01)  # reason: uvicorn tells nobody when it listens
        relay = RelayUnderTest(settings, billing, bus, simulator)
        relay.parts = app.state.relay
        if prices:
            await relay.put_prices()

        async def stop_service() -> None:
            server.should_exit = True
            await serving

        async def stop() -> None:
            await relay.http.aclose()
            await stop_service()
            await rpc.stop()
            await bus.close()

        relay.stop_service = stop_service
        stops.append(stop)
        return relay

    yield start
    for stop in stops:
        await stop()


@pytest.fixture
async def relay(start_relay: StartRelay) -> RelayUnderTest:
    """A relay with one channel to the simulator."""
    relay = await start_relay()
    await relay.add_channel()
    return relay
