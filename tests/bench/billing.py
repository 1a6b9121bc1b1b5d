"""Billing through its own doors: lease pairs by RPC, and usage from JetStream to the ledger."""

import asyncio
import random
import time
from dataclasses import dataclass

import msgspec

from common.contracts.leases import LEASE_CLOSE, LEASE_REQUEST, LeaseClose, LeaseRequest
from common.contracts.streams import USAGE, intake_subject
from common.contracts.usage import UsageBatch, UsageRecord
from common.kit.bus import Bus
from common.kit.ids import named_id, uuid7
from common.kit.rpc import RpcClient

CALLERS = 256
ACCOUNTS = 1000
_TOKENS = {"input": 100, "output": 50}
_PICO = {"input": 150_000, "output": 600_000}
_COST_NANO = 45_000


@dataclass(frozen=True)
class PairFigures:
    """Lease pairs (reserve, then return): per second, and milliseconds of one call at the percentiles."""

    pairs_per_s: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class UsageFigures:
    """Usage records per second from first publish to the last public event, and its lag in seconds."""

    events: int
    settled_per_s: float
    lag_p99_s: float


def accounts() -> list[str]:
    """The accounts the benchmark funds and spends from."""
    return [named_id("bench-account", str(index)) for index in range(ACCOUNTS)]


async def lease_pairs(nats_url: str, *, pairs: int, hot: bool) -> PairFigures:
    """`pairs` of request + close by 256 callers, all on one account or spread over a thousand."""
    bus = await Bus.connect(nats_url, "bench")
    client = RpcClient(bus)
    names = accounts()[:1] if hot else accounts()
    latencies: list[float] = []
    left = pairs

    async def caller(seed: int) -> None:
        nonlocal left
        choose = random.Random(seed)
        while left > 0:
            left -= 1
            account = choose.choice(names)
            lease = uuid7()
            request = LeaseRequest(
                lease, 0, "bench", account, named_id("spender", account), needs_nano=(1_000_000,)
            )
            started = time.perf_counter()
            grant = await client.call(LEASE_REQUEST, request)
            between = time.perf_counter()
            await client.call(LEASE_CLOSE, LeaseClose(lease, 1, grant.granted_nano))
            latencies.extend((between - started, time.perf_counter() - between))
            if grant.granted_nano != 1_000_000:
                raise RuntimeError(f"granted {grant.granted_nano} of a full wallet")

    started = time.perf_counter()
    await asyncio.gather(*(caller(seed) for seed in range(CALLERS)))
    elapsed = time.perf_counter() - started
    await bus.close()
    latencies.sort()
    return PairFigures(
        pairs / elapsed, latencies[len(latencies) // 2] * 1e3, latencies[int(len(latencies) * 0.99)] * 1e3
    )


async def usage_flow(nats_url: str, *, events: int) -> UsageFigures:
    """Publish `events` records, 200 a message, and wait for every public event, which follows the charge."""
    bus = await Bus.connect(nats_url, "bench")
    published: dict[str, float] = {}
    lags: list[float] = []
    done = asyncio.Event()

    async def on_event(message: object) -> None:
        headers = getattr(message, "headers", None) or {}
        sent = published.pop(headers.get("ce-id", ""), None)
        if sent is not None:
            lags.append(time.perf_counter() - sent)
            if len(lags) == events:
                done.set()

    await bus.subscribe(USAGE.subjects[0], on_event)
    await bus.client.flush()
    names = accounts()
    leases = await _open_leases(RpcClient(bus), names, events // ACCOUNTS + 1)
    started = time.perf_counter()
    for offset in range(0, events, 200):
        records = tuple(_record(names[(offset + step) % ACCOUNTS], leases) for step in range(200))
        now = time.perf_counter()
        published.update((record.id, now) for record in records)
        data = msgspec.msgpack.encode(UsageBatch("bench", records))
        await bus.publish(intake_subject("bench"), data, {"Nats-Msg-Id": uuid7()})
    await asyncio.wait_for(done.wait(), 120)
    elapsed = time.perf_counter() - started
    await bus.close()
    lags.sort()
    return UsageFigures(events, events / elapsed, lags[int(len(lags) * 0.99)])


async def _open_leases(client: RpcClient, names: list[str], records_each: int) -> dict[str, str]:
    leases = {}
    for account in names:
        lease = uuid7()
        needs = (_COST_NANO * records_each,)
        request = LeaseRequest(lease, 0, "bench", account, named_id("spender", account), needs_nano=needs)
        await client.call(LEASE_REQUEST, request)
        leases[account] = lease
    return leases


def _record(account: str, leases: dict[str, str]) -> UsageRecord:
    return UsageRecord(
        id=uuid7(),
        request_id=uuid7(),
        account=account,
        user=account,
        spender=named_id("spender", account),
        lease=leases[account],
        operation="chat.completions",
        model="gpt-4o-mini",
        upstream_model="gpt-4o-mini",
        channel="bench",
        group="default",
        started_at_ms=time.time_ns() // 1_000_000,
        duration_ms=5,
        first_byte_ms=3,
        status=200,
        outcome="ok",
        quantities=_TOKENS,
        unit_pico=_PICO,
        price_version=1,
        rate_micro=1_000_000,
        cost_nano=_COST_NANO,
    )
