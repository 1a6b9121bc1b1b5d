"""The load on billing, in a process of its own: `python -m bench.billing_load SPEC`, SPEC and answer JSON.

`pairs`: reserve, then return, by RPC. Closed loop: each of `callers` waits for its answer before it goes
on. Open loop (`rate` > 0): a pair begins when it is due, however many are under way, and its time counts
from then. Calls of one turn of the loop travel in one message, as those of a relay do. `usage`: records
published to JetStream, `rate` a second or as fast as it takes them, each followed until its public event; its
messages are made before the clock starts.
"""

import asyncio
import itertools
import random
import resource
import sys
import time
from collections.abc import Callable
from typing import Literal

import msgspec
import uvloop

from bench.wire import Wire
from common.contracts.leases import (
    LEASE_CALLS,
    LEASE_REQUEST,
    LeaseCalls,
    LeaseClose,
    LeaseGrant,
    LeaseOutcomes,
    LeaseRequest,
)
from common.contracts.streams import USAGE, intake_subject
from common.contracts.usage import UsageBatch, UsageRecord
from common.kit.ids import named_id, uuid7

Spread = Literal["uniform", "zipf", "hot"]
HOLD_NANO = 1_000_000
COST_NANO = 45_000
ZIPF_EXPONENT = 1.1
MESSAGE_RECORDS = 100
WINDOW = 32
"""Messages the publisher has unacknowledged at most, when it publishes as fast as it can."""
_TOKENS = {"input": 100, "output": 50}
_PICO = {"input": 150_000, "output": 600_000}
_REQUEST = LEASE_REQUEST.subject.encode()
_CALLS = LEASE_CALLS.subject.encode()
_ENCODE = msgspec.msgpack.Encoder().encode
_GRANT = msgspec.msgpack.Decoder(LeaseGrant)
_OUTCOMES = msgspec.msgpack.Decoder(LeaseOutcomes)
MOST_TOGETHER = 256
_TICK_S = 0.002
_PATIENCE_S = 120


class Spec(msgspec.Struct):
    """What to do: `count` pairs or records on `accounts` accounts."""

    work: Literal["pairs", "usage"]
    nats_url: str
    count: int
    spread: Spread = "uniform"
    accounts: int = 1000
    callers: int = 256
    rate: int = 0


class Measured(msgspec.Struct):
    """What was seen: seconds from first to last, milliseconds of the single pieces, own CPU in seconds.

    Pieces are calls for pairs, and the way of a record to its public event for usage; `accepted_s` is when
    JetStream had taken the last record.
    """

    elapsed_s: float
    p50_ms: float
    p99_ms: float
    cpu_s: float
    accepted_s: float = 0.0


def account_names(count: int) -> list[str]:
    """The accounts the benchmark funds and spends from."""
    return [named_id("bench-account", str(index)) for index in range(count)]


def pick(names: list[str], spread: Spread, count: int, seed: int = 1) -> list[str]:
    """`count` of the names: all the first, evenly, or by rank as Zipf's law has it."""
    choose = random.Random(seed)
    if spread == "hot":
        return [names[0]] * count
    weights = None
    if spread == "zipf":
        weights = [1 / rank**ZIPF_EXPONENT for rank in range(1, len(names) + 1)]
    return choose.choices(names, weights, k=count)


class Pairs:
    """Pairs of calls on one connection."""

    def __init__(self, wire: Wire, spec: Spec) -> None:
        self._wire = wire
        names = pick(account_names(spec.accounts), spec.spread, spec.count)
        self._names = iter([(name, named_id("spender", name)) for name in names])
        self._left = spec.count
        self._inbox = f"_INBOX_{uuid7()}."
        self._requests: list[tuple[LeaseRequest, float]] = []
        self._closes: list[tuple[LeaseClose, float]] = []
        self._under_way: dict[bytes, tuple[list[tuple[LeaseRequest, float]], list[float]]] = {}
        self._numbers = itertools.count()
        self._closed_loop = spec.rate == 0
        self._loop = asyncio.get_running_loop()
        self.pieces: list[float] = []
        self.done: asyncio.Future[None] = self._loop.create_future()
        wire.subscribe(self._inbox + "*", self._answered)

    def begin(self, due: float) -> bool:
        """Start the next pair; False when there is none."""
        item = next(self._names, None)
        if item is None:
            return False
        self._depart()
        request = LeaseRequest(uuid7(), 0, "bench", item[0], item[1], needs_nano=(HOLD_NANO,))
        self._requests.append((request, due))
        return True

    def _depart(self) -> None:
        if not (self._requests or self._closes):
            self._loop.call_soon(self._send)

    def _send(self) -> None:
        requests, self._requests = self._requests, []
        closes, self._closes = self._closes, []
        for start in range(0, max(len(requests), len(closes)), MOST_TOGETHER):
            some, others = requests[start : start + MOST_TOGETHER], closes[start : start + MOST_TOGETHER]
            reply = f"{self._inbox}{next(self._numbers)}".encode()
            self._under_way[reply] = (some, [since for _, since in others])
            calls = LeaseCalls(tuple(call for call, _ in some), tuple(call for call, _ in others))
            self._wire.publish(_CALLS, _ENCODE(calls), reply)

    def _answered(self, subject: bytes, headers: bytes, payload: bytes) -> None:
        requests, closes = self._under_way.pop(subject)
        now = time.perf_counter()
        if headers:
            self._fail(f"refused: {headers!r} {payload!r}")
            return
        outcomes = _OUTCOMES.decode(payload).outcomes
        self.pieces += [now - since for since in (*(since for _, since in requests), *closes)]
        for (request, _), outcome in zip(requests, outcomes, strict=False):
            if outcome.granted is None or outcome.granted.granted_nano != HOLD_NANO:
                self._fail(f"a full wallet, and: {outcome}")
            self._depart()
            self._closes.append((LeaseClose(request.lease, 1, HOLD_NANO), now))
        for outcome in outcomes[len(requests) :]:
            if outcome.closed is None:
                self._fail(f"not closed: {outcome}")
            self._left -= 1
            if self._closed_loop:
                self.begin(now)
        if self._left == 0 and not self.done.done():
            self.done.set_result(None)

    def _fail(self, reason: str) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError(reason))


async def run_pairs(spec: Spec) -> Measured:
    """See the module."""
    wire = await Wire.connect(spec.nats_url)
    pairs = Pairs(wire, spec)
    await wire.flush()
    cpu_s, started = _cpu_s(), time.perf_counter()
    if spec.rate:
        await _at_rate(spec.count, spec.rate, 1, pairs.begin)
    else:
        for _ in range(spec.callers):
            pairs.begin(time.perf_counter())
    await asyncio.wait_for(pairs.done, _PATIENCE_S)
    elapsed = time.perf_counter() - started
    wire.close()
    return Measured(elapsed, *_percentiles_ms(pairs.pieces), _cpu_s() - cpu_s)


async def _at_rate(count: int, rate: int, size: int, begin: Callable[[float], object]) -> None:
    """Call `begin(due)` for each `size` of `count` when they are due."""
    started = time.perf_counter()
    for number in range(0, count, size):
        due = started + number / rate
        while time.perf_counter() < due:  # noqa: ASYNC110  the schedule of the load is a clock
            await asyncio.sleep(_TICK_S)  # reason: as above
        begin(due)


class Usage:
    """Records on their way: published, acknowledged, told."""

    def __init__(self, wire: Wire, spec: Spec, leases: dict[str, str]) -> None:
        self._wire = wire
        self._subject = intake_subject("bench").encode()
        self._inbox = f"_INBOX_{uuid7()}."
        loop = asyncio.get_running_loop()
        self.accepted: asyncio.Future[None] = loop.create_future()
        self.told: asyncio.Future[None] = loop.create_future()
        self.pieces: list[float] = []
        self._message_of: dict[bytes, int] = {}
        self._sent_at: dict[int, float] = {}
        self.messages: list[bytes] = []
        names = pick(account_names(spec.accounts), spec.spread, spec.count)
        for start in range(0, spec.count, MESSAGE_RECORDS):
            records = tuple(_record(name, leases) for name in names[start : start + MESSAGE_RECORDS])
            self._message_of.update({record.id.encode(): len(self.messages) for record in records})
            self.messages.append(_ENCODE(UsageBatch("bench", records)))
        self._unacknowledged = len(self.messages)
        self._window: asyncio.Semaphore | None = None if spec.rate else asyncio.Semaphore(WINDOW)
        wire.subscribe(self._inbox + "*", self._acknowledged)
        wire.subscribe(USAGE.subjects[0], self._event)

    async def publish_all(self, rate: int) -> None:
        """As fast as acknowledged, or `rate` records a second."""
        numbers = itertools.count()
        if rate:
            count = len(self.messages) * MESSAGE_RECORDS
            await _at_rate(count, rate, MESSAGE_RECORDS, lambda due: self._publish(next(numbers), due))
            return
        assert self._window is not None
        for number in range(len(self.messages)):
            await self._window.acquire()
            self._publish(number, time.perf_counter())

    def _publish(self, number: int, due: float) -> None:
        self._sent_at[number] = due
        self._wire.publish(self._subject, self.messages[number], f"{self._inbox}{number}".encode())

    def _acknowledged(self, _subject: bytes, _headers: bytes, payload: bytes) -> None:
        if b'"error"' in payload:
            raise RuntimeError(payload.decode())
        self._unacknowledged -= 1
        if self._window is not None:
            self._window.release()
        if self._unacknowledged == 0:
            self.accepted.set_result(None)

    def _event(self, _subject: bytes, headers: bytes, _payload: bytes) -> None:
        start = headers.find(b"ce-id: ") + 7
        number = self._message_of.pop(headers[start : start + 36], None)
        if number is not None:
            self.pieces.append(time.perf_counter() - self._sent_at[number])
            if not self._message_of:
                self.told.set_result(None)


async def run_usage(spec: Spec) -> Measured:
    """See the module."""
    wire = await Wire.connect(spec.nats_url)
    names = account_names(spec.accounts)
    leases = await _open_leases(wire, names, COST_NANO * spec.count)
    usage = Usage(wire, spec, leases)
    await wire.flush()
    cpu_s, started = _cpu_s(), time.perf_counter()
    await usage.publish_all(spec.rate)
    await asyncio.wait_for(usage.accepted, _PATIENCE_S)
    accepted = time.perf_counter() - started
    await asyncio.wait_for(usage.told, _PATIENCE_S)
    elapsed = time.perf_counter() - started
    wire.close()
    return Measured(elapsed, *_percentiles_ms(usage.pieces), _cpu_s() - cpu_s, accepted)


async def _open_leases(wire: Wire, names: list[str], amount_nano: int) -> dict[str, str]:
    """One lease per account, of enough for everything."""
    leases = {name: uuid7() for name in names}
    waiting = set(leases)
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    inbox = f"_INBOX_{uuid7()}."

    def answered(subject: bytes, headers: bytes, payload: bytes) -> None:
        if headers or not _GRANT.decode(payload).granted_nano:
            raise RuntimeError(f"no lease: {payload!r}")
        waiting.discard(subject.decode().removeprefix(inbox))
        if not waiting:
            done.set_result(None)

    wire.subscribe(inbox + "*", answered)
    for name, lease in leases.items():
        request = LeaseRequest(lease, 0, "bench", name, named_id("spender", name), needs_nano=(amount_nano,))
        wire.publish(_REQUEST, _ENCODE(request), f"{inbox}{name}".encode())
    await asyncio.wait_for(done, _PATIENCE_S)
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
        cost_nano=COST_NANO,
    )


def _percentiles_ms(pieces: list[float]) -> tuple[float, float]:
    pieces.sort()
    return pieces[len(pieces) // 2] * 1e3, pieces[int(len(pieces) * 0.99)] * 1e3


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Do as SPEC says and print what was measured."""
    spec = msgspec.json.decode(sys.argv[1], type=Spec)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        measured = runner.run(run_pairs(spec) if spec.work == "pairs" else run_usage(spec))
    sys.stdout.buffer.write(msgspec.json.encode(measured))


if __name__ == "__main__":
    main()
