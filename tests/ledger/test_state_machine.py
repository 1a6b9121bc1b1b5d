"""Random histories on real PostgreSQL against a reference ledger; six invariants after every step.

The histories contain repetitions, contradictions, late and foreign calls, batches and a moving clock.
`TOLLWAY_STATE_MACHINE_EXAMPLES` asks for more of them than CI has time for.
"""

import asyncio
import os
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import text

from billing.adapters.postgres.ledger import PostgresLedger
from billing.domain.captures import CaptureHold, ChargeHold, RefundHold
from billing.domain.holds import ExpireHolds, ExtendHold, OpenHold, VoidHold
from billing.domain.leases import CloseLease, ExpireLeases, RequestLease
from billing.domain.topups import PostTopup, Topup
from billing.domain.usage import ChargeUsage
from billing.usecases.writer import LedgerWriter
from common.contracts.errors import ServiceError
from common.contracts.holds import (
    HoldCapture,
    HoldCharge,
    HoldCredit,
    HoldExtend,
    HoldOpen,
    HoldRefund,
    HoldState,
    HoldVoid,
)
from common.contracts.leases import LeaseClose, LeaseClosed, LeaseGrant, LeaseRequest
from common.contracts.principals import Budget
from common.contracts.usage import UsageRecord
from common.kit.db import Database
from common.kit.ids import uuid7
from common.kit.money import parse_usd
from common.testing.clock import FakeClock
from common.testing.plugin import DatabaseFactory
from ledger.reference import Outcome, ReferenceLedger

EXAMPLES = int(os.environ.get("TOLLWAY_STATE_MACHINE_EXAMPLES", "25"))
STEPS = 40
TTL_S = 30.0
SLOTS = st.integers(0, 5)
AMOUNTS = st.one_of(st.integers(1, 60), st.integers(1, 2_000), st.just(10**12))
CONSERVED = "SELECT sum(credits::numeric - debits) FROM accounts"
ACCOUNTS = """
    SELECT a.customer::text, a.kind, a.debits, a.credits,
        (SELECT coalesce(sum(amount), 0) FROM transfers WHERE debit_account = a.id),
        (SELECT coalesce(sum(amount), 0) FROM transfers WHERE credit_account = a.id),
        (SELECT min(least(CASE WHEN debit_account = a.id THEN debit_after END,
            CASE WHEN credit_account = a.id THEN credit_after END))
            FROM transfers WHERE a.id IN (debit_account, credit_account))
    FROM accounts AS a WHERE customer = ANY(CAST(:accounts AS uuid[]))
"""
LEASES = """
    SELECT id::text, account::text, granted_nano, spent_nano, returned_nano, state FROM leases
    WHERE account = ANY(CAST(:accounts AS uuid[]))
"""
HOLDS = """
    SELECT id::text, account::text, amount_nano, captured_nano, released_nano, state FROM holds
    WHERE account = ANY(CAST(:accounts AS uuid[]))
"""
SPENDERS = """
    SELECT id::text, used_nano, held_nano FROM spenders WHERE account = ANY(CAST(:accounts AS uuid[]))
"""
USAGE = """
    SELECT id::text, from_held_nano, overage_nano, uncollected_nano FROM usage_records
    WHERE account = ANY(CAST(:accounts AS uuid[]))
"""
MOVED = """
    SELECT kind, sum(amount) FROM transfers WHERE customer = ANY(CAST(:accounts AS uuid[])) GROUP BY kind
"""
STATE = """
    SELECT md5(string_agg(line, '|' ORDER BY line)) FROM (
        SELECT a::text AS line FROM accounts AS a
        UNION ALL SELECT l::text FROM leases AS l
        UNION ALL SELECT h::text FROM holds AS h
        UNION ALL SELECT 'transfers ' || count(*) FROM transfers
        UNION ALL SELECT 'usage ' || count(*) FROM usage_records
    ) AS lines
"""
T = TypeVar("T")


class Service:
    """The writer on a real database, driven from a thread without a loop."""

    def __init__(self, dsn: str, runner: asyncio.Runner) -> None:
        self._runner = runner
        self._database = Database(dsn, 2)
        self.clock = FakeClock()
        self._ledger = PostgresLedger(self._database)
        self.writer = LedgerWriter(self._ledger, self.clock.now, lambda: None)
        self._run(self.writer.start())

    def carry_out(self, operation: Any) -> Outcome:
        """What the caller is told by the writer."""

        async def submit() -> Any:
            return (await asyncio.gather(self.writer.submit(operation), return_exceptions=True))[0]

        return told(self._run(submit()))

    def carry_out_together(self, operations: Sequence[Any]) -> list[Outcome]:
        """What each caller is told; all are in one transaction, in order (the writer puts calls first)."""

        async def decide() -> list[Any]:
            answers: list[Any] = []
            async with self._ledger.transaction() as session:
                books = await session.load(operations, self.clock.now())
                for operation in operations:
                    try:
                        answers.append(operation.decide(books))
                    except ServiceError as error:
                        answers.append(error)
                await session.save(books)
            return answers

        return [told(answer) for answer in self._run(decide())]

    def rows(self, query: str, accounts: Sequence[str] = ()) -> list[tuple[Any, ...]]:
        async def read() -> list[tuple[Any, ...]]:
            async with self._database.transaction() as connection:
                values = {"accounts": list(accounts)} if accounts else {}
                return [tuple(row) for row in await connection.execute(text(query), values)]

        return self._run(read())

    def stop(self) -> None:
        self._run(self.writer.stop())
        self._run(self._database.close())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)


def told(answer: Any) -> Outcome:
    """A decision in the words of the reference ledger."""
    match answer:
        case ServiceError():
            return ("refused", answer.error_code)
        case BaseException():
            raise answer
        case Topup():
            return ("topup", parse_usd(answer.amount), parse_usd(answer.balance))
        case LeaseGrant():
            return ("grant", answer.granted_nano, answer.available_nano)
        case LeaseClosed():
            return ("closed", answer.returned_nano, answer.remaining_nano)
        case HoldState():
            return (
                "hold", answer.state, answer.amount_nano, answer.held_nano, answer.captured_nano,
                answer.released_nano, answer.refunded_nano, answer.balance_nano, answer.budget_left_nano,
            )  # fmt: skip
    return ("count", answer)


class Ledgers(RuleBasedStateMachine):
    """Two customers with two spenders each, six leases, six holds, and whatever happens to them."""

    service: Service

    def __init__(self) -> None:
        super().__init__()
        self.reference = ReferenceLedger()
        self.accounts = [uuid7(), uuid7()]
        self.spenders = {uuid7(): self.accounts[number % 2] for number in range(4)}
        self.leases = [uuid7() for _ in range(6)]
        self.holds = [uuid7() for _ in range(6)]
        self.done: list[Any] = []
        self.batch: list[Any] | None = None

    @initialize(amounts=st.lists(AMOUNTS, min_size=2, max_size=2))
    def open_accounts(self, amounts: list[int]) -> None:
        """Every row exists before the first step, so that a refused step may change none."""
        for account, amount in zip(self.accounts, amounts, strict=True):
            self.reference.wallets[account] = self.reference.held[account] = 0
            self.carry_out(PostTopup(uuid7(), account, amount, "topup", ""))
        for spender, account in self.spenders.items():
            self.carry_out(ChargeUsage((self.record(account, spender, "", 0),)))

    def carry_out(self, operation: Any) -> None:
        """Now, or with the others when a batch is being gathered."""
        self.done.append(operation)
        if self.batch is not None:
            self.batch.append(operation)
            return
        before, moved = self.service.rows(STATE), dict(self.reference.moved)
        expected = self.reference.apply(operation, self.service.clock.now())
        assert self.service.carry_out(operation) == expected
        # A hold whose time is over may be found so, and returned, by the call that is refused for it.
        if expected[0] == "refused" and self.reference.moved == moved:
            assert self.service.rows(STATE) == before, "a refused operation changed something"

    def record(self, account: str, spender: str, lease: str, cost: int, id_: str = "") -> UsageRecord:
        return UsageRecord(
            id=id_ or uuid7(),
            request_id=uuid7(),
            account=account,
            user=uuid7(),
            spender=spender,
            lease=lease,
            operation="chat",
            model="gpt-4o-mini",
            upstream_model="gpt-4o-mini",
            channel="sim",
            group="default",
            started_at_ms=int(self.service.clock.time() * 1000),
            duration_ms=1,
            first_byte_ms=None,
            status=200,
            outcome="ok",
            quantities={"input": cost},
            unit_pico={"input": 1000},
            price_version=1,
            rate_micro=1_000_000,
            cost_nano=cost,
        )

    @rule(which=st.integers(0, 1), amount=AMOUNTS)
    def top_up(self, which: int, amount: int) -> None:
        self.carry_out(PostTopup(uuid7(), self.accounts[which], amount, "topup", "again"))

    @rule(which=st.integers(0, 1), amount=AMOUNTS, data=st.data())
    def reuse_an_id(self, which: int, amount: int, data: st.DataObject) -> None:
        id_ = data.draw(st.sampled_from(sorted(self.reference.topups)))
        self.carry_out(PostTopup(id_, self.accounts[which], amount, "topup", "other"))

    @rule(
        slot=SLOTS,
        who=st.integers(0, 3),
        needs=st.lists(AMOUNTS, max_size=4),
        wants=st.one_of(st.just(0), AMOUNTS),
        minimum=st.one_of(st.just(0), st.integers(1, 30)),
        budget=st.one_of(st.none(), st.builds(Budget, AMOUNTS, st.sampled_from(("total", "day")))),
        step=st.sampled_from((0, 1, 1, 1, 1, 3)),
        foreign=st.sampled_from((False, False, False, True)),
    )
    def request(
        self,
        slot: int,
        who: int,
        needs: list[int],
        wants: int,
        minimum: int,
        budget: Budget | None,
        step: int,
        *,
        foreign: bool,
    ) -> None:
        lease = self.leases[slot]
        spender = sorted(self.spenders)[who]
        known = self.reference.leases.get(lease)
        if known is not None and not foreign:
            spender = known.spender
        account = self.spenders[spender]
        sequence = 0 if known is None else known.sequence + step
        lone = minimum if len(needs) == 1 else 0
        self.carry_out(
            RequestLease(
                LeaseRequest(
                    lease, sequence, "relay-1", account, spender, "key", tuple(needs), wants, lone, budget
                ),
                TTL_S,
            )
        )

    @rule(slot=SLOTS, unspent=st.one_of(st.just(0), AMOUNTS), step=st.sampled_from((0, 1, 1, 1)))
    def close(self, slot: int, unspent: int, step: int) -> None:
        lease = self.leases[slot]
        known = self.reference.leases.get(lease)
        sequence = 0 if known is None else known.sequence + step
        self.carry_out(CloseLease(LeaseClose(lease, sequence, unspent), TTL_S))

    @rule(costs=st.lists(st.tuples(SLOTS, st.integers(0, 3), AMOUNTS), min_size=1, max_size=5))
    def charge(self, costs: list[tuple[int, int, int]]) -> None:
        records = []
        for slot, who, cost in costs:
            lease = self.leases[slot]
            known = self.reference.leases.get(lease)
            spender = sorted(self.spenders)[who] if known is None or who == 0 else known.spender
            records.append(self.record(self.spenders[spender], spender, lease, cost))
        self.carry_out(ChargeUsage((*records, records[0])))

    @rule(seconds=st.sampled_from((1, 29, 61, 40_000, 90_000)))
    def wait(self, seconds: int) -> None:
        self.service.clock.advance(seconds)

    @rule(slots=st.lists(SLOTS, min_size=1, max_size=6, unique=True))
    def expire(self, slots: list[int]) -> None:
        cutoff = self.service.clock.now()
        self.carry_out(ExpireLeases(tuple(self.leases[slot] for slot in slots), cutoff))

    @rule(
        slot=SLOTS,
        who=st.integers(0, 3),
        amount=AMOUNTS,
        ttl_s=st.sampled_from((10, 3_600, 50_000)),
        budget=st.one_of(st.none(), st.builds(Budget, AMOUNTS, st.sampled_from(("total", "day")))),
        paid_only=st.booleans(),
    )
    def open_hold(
        self, slot: int, who: int, amount: int, ttl_s: int, budget: Budget | None, *, paid_only: bool
    ) -> None:
        spender = sorted(self.spenders)[who]
        request = HoldOpen(
            self.holds[slot], self.spenders[spender], spender, amount, ttl_s, "key", budget, app="app",
            paid_only=paid_only,
        )  # fmt: skip
        known = self.reference.answers.get(request.hold)
        if known is None or known[0] != request:
            self.holds[slot] = request.hold if known is None else uuid7()
        self.carry_out(OpenHold(msgspec.structs.replace(request, hold=self.holds[slot]), waits=False))

    @rule(
        slot=SLOTS,
        who=st.integers(0, 3),
        amount=AMOUNTS,
        fee=st.integers(1, 30),
        budget=st.one_of(st.none(), st.builds(Budget, AMOUNTS, st.sampled_from(("total", "day")))),
    )
    def charge_hold(self, slot: int, who: int, amount: int, fee: int, budget: Budget | None) -> None:
        spender, self.holds[slot] = sorted(self.spenders)[who], uuid7()
        opening = HoldOpen(
            self.holds[slot], self.spenders[spender], spender, amount, 60, "key", budget, app="app"
        )
        shares: tuple[HoldCredit, ...] = (HoldCredit("revenue", amount),)
        if fee < amount:
            shares = (HoldCredit("revenue", amount - fee), HoldCredit("fees", fee))
        self.carry_out(ChargeHold(HoldCharge(opening, uuid7(), shares), waits=False))

    @rule(slot=SLOTS, more=st.one_of(st.just(0), AMOUNTS), ttl_s=st.sampled_from((1, 3_600)))
    def extend_hold(self, slot: int, more: int, ttl_s: int) -> None:
        self.carry_out(ExtendHold(HoldExtend(self.holds[slot], uuid7(), more, ttl_s), waits=False))

    @rule(slot=SLOTS, amount=st.one_of(st.none(), AMOUNTS), fee=st.one_of(st.none(), st.integers(1, 30)))
    def capture_hold(self, slot: int, amount: int | None, fee: int | None) -> None:
        shares: tuple[HoldCredit, ...] = ()
        if amount is not None and fee is not None and fee < amount:
            shares = (HoldCredit("revenue", amount - fee), HoldCredit("fees", fee))
        self.carry_out(CaptureHold(HoldCapture(self.holds[slot], uuid7(), amount, shares)))

    @rule(slot=SLOTS)
    def void_hold(self, slot: int) -> None:
        self.carry_out(VoidHold(HoldVoid(self.holds[slot], uuid7())))

    @rule(slot=SLOTS, amount=st.one_of(st.none(), AMOUNTS))
    def refund_hold(self, slot: int, amount: int | None) -> None:
        self.carry_out(RefundHold(HoldRefund(self.holds[slot], uuid7(), amount)))

    @rule(slots=st.lists(SLOTS, min_size=1, max_size=6, unique=True))
    def expire_holds(self, slots: list[int]) -> None:
        self.carry_out(ExpireHolds(tuple(self.holds[slot] for slot in slots)))

    @rule(slot=SLOTS, amount=AMOUNTS, data=st.data())
    def reuse_a_hold_id(self, slot: int, amount: int, data: st.DataObject) -> None:
        """Another body under an id that was used."""
        known = self.reference.answers.get(self.holds[slot])
        if known is not None and isinstance(known[0], HoldOpen):
            request = msgspec.structs.replace(known[0], amount_nano=known[0].amount_nano + amount)
            self.carry_out(OpenHold(request, waits=False))
        elif known is not None and isinstance(known[0], HoldCharge):
            charge = msgspec.structs.replace(known[0], id=uuid7())
            self.carry_out(data.draw(st.sampled_from((ChargeHold(charge), OpenHold(charge.open)))))

    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """Anything that was said before is said again, word for word."""
        self.carry_out(data.draw(st.sampled_from(self.done)))

    @precondition(lambda self: self.batch is None)
    @rule()
    def gather(self) -> None:
        """What follows goes into one transaction."""
        self.batch = []

    @precondition(lambda self: self.batch is not None)
    @rule()
    def commit(self) -> None:
        operations, self.batch = self.batch or [], None
        now = self.service.clock.now()
        expected = [self.reference.apply(operation, now) for operation in operations]
        answers = self.service.carry_out_together(operations)
        assert list(zip(operations, answers, strict=True)) == list(zip(operations, expected, strict=True))

    @invariant()
    def money_is_conserved_and_every_balance_is_the_sum_of_its_transfers(self) -> None:
        if not self.reference.wallets or self.batch is not None:
            return
        assert self.service.rows(CONSERVED) == [(0,)]
        balances: dict[str, dict[str, int]] = {"wallet": {}, "held": {}}
        for account, kind, debits, credits_, debited, credited, lowest in self.service.rows(
            ACCOUNTS, self.accounts
        ):
            assert (debits, credits_) == (debited, credited)
            assert credits_ >= debits >= 0
            assert lowest is None or lowest >= 0
            balances[kind][account] = credits_ - debits
        assert balances == {"wallet": self.reference.wallets, "held": self.reference.held}

    @invariant()
    def what_is_held_is_what_leases_and_spenders_hold(self) -> None:
        if not self.reference.wallets or self.batch is not None:
            return
        held = dict.fromkeys(self.accounts, 0)
        leases = {}
        for id_, account, granted, spent, returned, state in self.service.rows(LEASES, self.accounts):
            held[account] += granted - spent - returned
            leases[id_] = (granted, spent, returned, state)
        holds = {}
        for id_, account, amount, captured, released, state in self.service.rows(HOLDS, self.accounts):
            held[account] += amount - captured - released
            holds[id_] = (amount, captured, released, state)
        assert holds == {
            id_: (hold.amount, hold.captured, hold.released, hold.state)
            for id_, hold in self.reference.holds.items()
        }
        assert held == self.reference.held
        assert leases == {
            id_: (lease.granted, lease.spent, lease.returned, lease.state)
            for id_, lease in self.reference.leases.items()
        }
        spenders = {id_: (used, held_) for id_, used, held_ in self.service.rows(SPENDERS, self.accounts)}
        assert spenders == {id_: (row.used, row.held) for id_, row in self.reference.spenders.items()}

    @invariant()
    def each_request_is_charged_once_and_each_kind_moved_what_it_should(self) -> None:
        if not self.reference.wallets or self.batch is not None:
            return
        charged = {id_: parts for id_, *parts in self.service.rows(USAGE, self.accounts)}
        assert charged == {id_: list(parts) for id_, parts in self.reference.charged.items()}
        moved = dict(self.service.rows(MOVED, self.accounts))
        assert moved == {kind: amount for kind, amount in self.reference.moved.items() if amount}


async def fresh(database: DatabaseFactory) -> str:
    """A database of billing's."""
    return await database("billing")


@pytest.mark.timeout(900)  # a failing history is made short before it is shown
def test_random_histories_come_to_what_the_reference_ledger_says(database: DatabaseFactory) -> None:
    with asyncio.Runner() as runner:
        service = Service(runner.run(fresh(database)), runner)
        machine = type("BoundLedgers", (Ledgers,), {"service": service})
        try:
            run_state_machine_as_test(
                machine,
                settings=settings(
                    max_examples=EXAMPLES,
                    stateful_step_count=STEPS,
                    deadline=None,
                    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
                    print_blob=True,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            with suppress(Exception):
                service.stop()
