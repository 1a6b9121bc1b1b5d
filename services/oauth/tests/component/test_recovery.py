"""A process that dies between any two steps of a charge or refund leaves nothing half done and nothing lost.

The storage is real; the ledger is a table that remembers its answers, as billing does.
"""

from asyncio import CancelledError
from contextlib import suppress
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from common.contracts.errors import ConflictError, NotFoundError, UnavailableError
from common.contracts.holds import (
    HOLD_CHARGE,
    HoldCapture,
    HoldCharge,
    HoldCredit,
    HoldOpen,
    HoldRefund,
    HoldState,
    HoldVoid,
)
from common.kit.db import Database
from common.kit.ids import uuid7
from oauth.charges.adapters.postgres.charges import PostgresCharges
from oauth.charges.adapters.postgres.refunds import PostgresRefunds
from oauth.charges.adapters.postgres.stories import Stories
from oauth.charges.domain.charges import PATIENCE, Charge, ChargeAsked
from oauth.charges.domain.refunds import RefundAsked
from oauth.charges.usecases.charges import Charges
from oauth.charges.usecases.refunds import Refunds

USD = 1_000_000_000
AFTER = PATIENCE + timedelta(seconds=1)


class FakeLedger:
    """Decides once per id and answers the same again; `moves` is what was done, in order."""

    def __init__(self) -> None:
        self.moves: list[str] = []
        self.holds: dict[str, HoldState] = {}
        self.answers: dict[str, HoldState] = {}

    async def call(self, _method: Any, request: Any, /) -> HoldState:
        id_ = request.hold if isinstance(request, HoldOpen) else request.id
        if id_ not in self.answers:
            self.answers[id_] = self._decide(request)
        return self.answers[id_]

    async def charge(self, request: HoldCharge) -> HoldState:
        return await self.call(HOLD_CHARGE, request)

    def _decide(self, request: Any) -> HoldState:
        if isinstance(request, (HoldCharge, HoldOpen)):
            return self._open(request)
        held = self.holds.get(request.hold)
        if held is None:
            raise NotFoundError("There is no such hold.", code="hold_not_found")
        if isinstance(request, HoldRefund):
            amount = request.amount_nano or 0
            self.moves.append(f"refund {amount}")
            shares = (HoldCredit("fees", amount // 10),)
            return self._keep(
                msgspec.structs.replace(held, refunded_nano=held.refunded_nano + amount, shares=shares)
            )
        if held.state != "open":
            raise ConflictError("Over.", code=f"hold_already_{held.state}")
        if isinstance(request, HoldVoid):
            self.moves.append("void")
            return self._keep(msgspec.structs.replace(held, state="voided", held_nano=0))
        assert isinstance(request, HoldCapture)
        self.moves.append(f"capture {request.amount_nano}")
        return self._keep(
            msgspec.structs.replace(
                held,
                state="captured",
                held_nano=0,
                captured_nano=request.amount_nano or 0,
                shares=request.credits,
            )
        )

    def _open(self, request: HoldCharge | HoldOpen) -> HoldState:
        opening = request.open if isinstance(request, HoldCharge) else request
        amount = opening.amount_nano
        state = HoldState(
            opening.hold, opening.account, "open", amount, amount, 0, 0, 0, 0, 0, None, 4_000_000_000_000
        )
        self.moves.append("open")
        if isinstance(request, HoldCharge):
            self.moves.append(f"capture {amount}")
            state = msgspec.structs.replace(
                state, state="captured", held_nano=0, captured_nano=amount, shares=request.credits
            )
        return self._keep(state)

    def _keep(self, state: HoldState) -> HoldState:
        self.holds[state.hold] = state
        return state


class Dying:
    """Dies at the `at`-th boundary of a call, before or after it was carried out."""

    def __init__(self, at: int) -> None:
        self.left = at

    def wrap(self, real: Any) -> Any:
        dying = self

        class Wrapped:
            def __getattr__(self, name: str) -> Any:
                async def call(*args: Any) -> Any:
                    dying.step()
                    result = await getattr(real, name)(*args)
                    dying.step()
                    return result

                return call

        return Wrapped()

    def step(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise CancelledError

    @property
    def died(self) -> bool:
        return self.left <= 0


class Process:
    """The use-cases of one process on the test's storage and ledger, which dies at a point or not at all."""

    def __init__(self, bench: "Bench", at: int = 0) -> None:
        self.dying = Dying(at)
        self.charges = Charges(
            self.dying.wrap(bench.charges),
            bench.oauth.store,
            self.dying.wrap(bench.ledger),
            bench.oauth.clock.now,
            bench.oauth.digester,
        )
        self.refunds = Refunds(
            self.dying.wrap(bench.refunds), self.dying.wrap(bench.ledger), bench.oauth.clock.now
        )


class Bench:
    """One storage and ledger, and the token of a person for an app."""

    def __init__(self, oauth: Any) -> None:
        self.oauth = oauth
        self.ledger = FakeLedger()
        database = Database(oauth.dsn, 4)
        oauth.stack.push_async_callback(database.close)
        stories = Stories(oauth.clock.now, lambda *_: b"{}")
        self.charges = PostgresCharges(database, stories, lambda: None)
        self.refunds = PostgresRefunds(database, stories, lambda: None)
        self.live: Any = None

    async def open(self) -> "Bench":
        app, secret = await self.oauth.app(fee_micro=100_000)
        code = await self.oauth.code(app, "charge")
        assert secret
        rows = await self.oauth.rows(
            "SELECT family::text FROM codes WHERE digest = $1", self.oauth.digester.digest(code)
        )
        async with self.oauth.store.transaction() as work:
            family = await work.tokens.get_family(rows[0][0])
            grant = await work.grants.get(family.grant)
            person = await work.people.get(grant.user)
        self.live = Live(app, grant, person)
        return self

    async def state(self, charge: str) -> str:
        rows = await self.oauth.rows("SELECT state FROM charges WHERE id = $1", charge)
        return str(rows[0][0])

    async def told(self) -> list[str]:
        """The types of the events, in the order they were told."""
        packets = await self.oauth.rows("SELECT events FROM outbox ORDER BY position")
        return [event[1].rpartition(".")[0] for row in packets for event in msgspec.json.decode(row[0])]


class Live(msgspec.Struct):
    """What a charge needs of a LiveToken."""

    app: Any
    grant: Any
    person: Any


@pytest.fixture
async def bench(bare_oauth: Any) -> Bench:
    return await Bench(bare_oauth).open()


async def _held(bench: Bench) -> Charge:
    asked = ChargeAsked("10", capture=False)
    return await Process(bench).charges.create(bench.live, asked, uuid7())


@pytest.mark.parametrize("how", ["again", "sweep"])
async def test_a_charge_is_made_once_wherever_its_process_dies(bench: Bench, how: str) -> None:
    asked, deaths = ChargeAsked("10"), 0
    for at in range(1, 20):
        key, bench.ledger.moves = f"key-{at}", []
        process = Process(bench, at)
        with suppress(CancelledError):
            await process.charges.create(bench.live, asked, key)
        deaths += process.dying.died
        bench.oauth.clock.advance(AFTER.total_seconds())
        if how == "sweep":
            await Process(bench).charges.sweep()
            rows = await bench.oauth.rows("SELECT state FROM charges WHERE key = $1", key)
            made = [row[0] for row in rows]
            assert made in (["succeeded"], []), at
            assert bench.ledger.moves == (["open", "capture 10000000000"] if made else []), at
        else:
            charge = await Process(bench).charges.create(bench.live, asked, key)
            assert charge.state == "succeeded", at
            assert bench.ledger.moves == ["open", "capture 10000000000"], at
        if not process.dying.died:
            break
    assert deaths == 6
    told = await bench.told()
    assert set(told) == {"oauth.charge.succeeded.v1"}
    assert len(told) == len(await bench.oauth.rows("SELECT 1 FROM charges WHERE state = 'succeeded'"))


@pytest.mark.parametrize("act", ["capture", "cancel"])
async def test_what_is_held_is_resolved_once_wherever_its_process_dies(bench: Bench, act: str) -> None:
    end = {"capture": "succeeded", "cancel": "canceled"}[act]
    for at in range(1, 20):
        charge, bench.ledger.moves = await _held(bench), []
        process = Process(bench, at)
        with suppress(CancelledError):
            await resolve(process, act, charge)
        bench.oauth.clock.advance(AFTER.total_seconds())
        await Process(bench).charges.sweep()
        state = await bench.state(charge.id)
        assert state in (end, "requires_capture"), at
        if state == "requires_capture":
            await resolve(Process(bench), act, charge)
        assert await bench.state(charge.id) == end
        assert len(bench.ledger.moves) == 1, at
        if not process.dying.died:
            return
    pytest.fail("it always died")


async def resolve(process: Process, act: str, charge: Charge) -> None:
    if act == "capture":
        await process.charges.capture(charge, "4")
    else:
        await process.charges.cancel(charge)


async def test_a_refund_is_made_once_wherever_its_process_dies(bench: Bench) -> None:
    charge = await Process(bench).charges.create(bench.live, ChargeAsked("100"), "k")
    made = 0
    for at in range(1, 20):
        bench.ledger.moves = []
        process = Process(bench, at)
        with suppress(CancelledError):
            await process.refunds.create(charge, RefundAsked("1"), f"r-{at}")
        bench.oauth.clock.advance(AFTER.total_seconds())
        await Process(bench).refunds.sweep()
        made += len(bench.ledger.moves)
        refund = await Process(bench).refunds.create(charge, RefundAsked("1"), f"r-{at}")
        assert (refund.state, refund.fee_nano) == ("succeeded", USD // 10)
        assert bench.ledger.moves == ["refund 1000000000"], at
        if not process.dying.died:
            break
    found = await bench.charges.find(charge.id)
    assert found is not None
    assert (found.refunded_nano, found.refunding_nano) == (at * USD, 0)
    assert found.fee_nano == 10 * USD - at * USD // 10


async def test_what_was_not_made_when_the_grant_ended_is_not_made_after_it(bench: Bench) -> None:
    for at in range(1, 8):
        key, bench.ledger.moves = f"key-{at}", []
        with suppress(CancelledError):
            await Process(bench, at).charges.create(bench.live, ChargeAsked("10"), key)
        done = list(bench.ledger.moves)
        await bench.oauth.rows("UPDATE grants SET revoked_at = now(), revoked_by = 'user'")
        bench.oauth.clock.advance(AFTER.total_seconds())
        await Process(bench).charges.sweep()
        assert bench.ledger.moves == done, at
        rows = await bench.oauth.rows("SELECT state, failure FROM charges WHERE key = $1", key)
        told = [(row[0], row[1]) for row in rows]
        assert told in ([], [("succeeded", "")] if done else [("failed", "grant_ended")]), at
        await bench.oauth.rows("UPDATE grants SET revoked_at = NULL, revoked_by = NULL")


async def test_a_ledger_that_is_away_is_asked_again_and_a_second_request_waits(bench: Bench) -> None:
    class Away(FakeLedger):
        async def call(self, _method: Any, _request: Any, /) -> HoldState:
            raise UnavailableError("Nobody answers.")

    real, bench.ledger = bench.ledger, Away()
    with pytest.raises(UnavailableError):
        await Process(bench).charges.create(bench.live, ChargeAsked("10"), "k")
    bench.ledger = real
    with pytest.raises(ConflictError) as waiting:
        await Process(bench).charges.create(bench.live, ChargeAsked("10"), "k")
    assert (waiting.value.error_code, waiting.value.retry_after_s) == ("idempotency_in_progress", 1)
    bench.oauth.clock.advance(AFTER.total_seconds())
    charge = await Process(bench).charges.create(bench.live, ChargeAsked("10"), "k")
    assert charge.state == "succeeded"
    assert real.moves == ["open", "capture 10000000000"]
