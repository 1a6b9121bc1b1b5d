"""The rules of holds on books in memory, against a model of a few lines."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from billing.domain.accounts import PROMO, REVENUE, Account, Customer
from billing.domain.books import Books, Operation, Wanted
from billing.domain.captures import CaptureHold, RefundHold, apportion
from billing.domain.hold_checks import check_capture, check_extend, check_open, check_refund, check_void
from billing.domain.holds import ExpireHolds, ExtendHold, OpenHold, VoidHold
from billing.domain.spenders import Spender, window_start
from billing.domain.topups import PostTopup
from common.contracts.errors import ServiceError
from common.contracts.holds import (
    HoldCapture,
    HoldCredit,
    HoldExtend,
    HoldOpen,
    HoldRefund,
    HoldState,
    HoldVoid,
)
from common.contracts.principals import Budget, BudgetPeriod

START = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
LIMIT = 60
"""The budget of the machine's spender, per day."""


def uid(number: int) -> str:
    return f"00000000-0000-7000-8000-{number:012x}"


ACCOUNT, SPENDER = uid(1), uid(2)
HOLDS = [uid(100 + number) for number in range(4)]
IDS = [uid(200 + number) for number in range(12)]


class Memory:
    """One customer and one spender; rows live as long as the test."""

    def __init__(self) -> None:
        self.now = START
        names = (f"wallet:{ACCOUNT}", f"held:{ACCOUNT}", PROMO, REVENUE, "fees", "app_payable:shop")
        self.accounts = {
            name: Account(number, name, 0, 0, allow_negative=number > 1) for number, name in enumerate(names)
        }
        wallet, held = list(self.accounts.values())[:2]
        self.customer = Customer(ACCOUNT, wallet, held, 0, 0, low=False, recalled_at=None)
        self.spender = Spender(SPENDER, ACCOUNT)
        self.holds: dict[str, Any] = {}
        self.operations: dict[str, Any] = {}
        self.events: list[Any] = []
        self.transfers: list[Any] = []

    def apply(self, operation: Operation) -> Any:
        """The answer, or the code of the refusal."""
        books, wanted = Books(self.now), Wanted()
        operation.want(wanted)
        assert wanted.platform | wanted.counters <= self.accounts.keys()
        books.accounts, books.customers = self.accounts, {ACCOUNT: self.customer}
        books.spenders, books.holds, books.operations = {SPENDER: self.spender}, self.holds, self.operations
        try:
            answer: Any = operation.decide(books)
        except ServiceError as error:
            answer = error.error_code
        self.events += books.events
        self.transfers += books.transfers
        return answer

    def fund(self, amount_nano: int, id_: str = uid(9)) -> None:
        self.apply(PostTopup(id_, ACCOUNT, amount_nano, "grant", ""))

    def open(self, number: int, amount_nano: int, **fields: Any) -> Any:
        request = HoldOpen(HOLDS[number], ACCOUNT, SPENDER, amount_nano, fields.pop("ttl_s", 60), **fields)
        return self.apply(OpenHold(request))

    @property
    def money(self) -> tuple[int, int]:
        return self.customer.wallet.balance, self.customer.held.balance


class Model(RuleBasedStateMachine):
    """What a hold is, said again without ledgers: wallet, budget, and a row of numbers for each hold."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = Memory()
        self.wallet = self.used = 0
        self.holds: dict[str, dict[str, Any]] = {}
        self.answers: dict[str, tuple[Any, Any]] = {}
        self.topups = 0

    @initialize()
    def begin(self) -> None:
        self.topup(40)

    @rule(amount=st.integers(1, 40))
    def topup(self, amount: int) -> None:
        self.topups += 1
        self.memory.fund(amount, uid(1000 + self.topups))
        self.wallet += amount

    @rule(seconds=st.integers(1, 40))
    def wait(self, seconds: int) -> None:
        day = self.memory.now.date()
        self.memory.now += timedelta(seconds=seconds)
        assert self.memory.now.date() == day

    @rule()
    def sweep(self) -> None:
        due = [id_ for id_, row in self.holds.items() if self._over(row)]
        assert self.memory.apply(ExpireHolds(tuple(HOLDS))) == len(due)
        for id_ in due:
            self._release(self.holds[id_], "expired")

    @rule(hold=st.sampled_from(HOLDS), amount=st.integers(1, 50), ttl_s=st.integers(1, 90))
    def open(self, hold: str, amount: int, ttl_s: int) -> None:
        budget = Budget(LIMIT, "day", "Europe/Berlin", max_charge_nano=45)
        request = HoldOpen(hold, ACCOUNT, SPENDER, amount, ttl_s, budget=budget)

        def expected() -> str:
            refused = self._refused(amount, amount)
            if not refused:
                self.holds[hold] = {
                    "state": "open", "amount": amount, "captured": 0, "refunded": 0,
                    "until": self.memory.now + timedelta(seconds=ttl_s),
                }  # fmt: skip
                self.wallet -= amount
            return refused or "open"

        self._try(hold, ("open", amount, ttl_s), OpenHold(request), expected)

    @rule(
        hold=st.sampled_from(HOLDS),
        id_=st.sampled_from(IDS),
        more=st.integers(0, 30),
        ttl_s=st.integers(0, 90),
    )
    def extend(self, hold: str, id_: str, more: int, ttl_s: int) -> None:
        def expected() -> str:
            row = self._live(hold)
            if isinstance(row, str):
                return row
            refused = self._refused(more, row["amount"] + more) if more else ""
            if not refused:
                row["amount"] += more
                self.wallet -= more
                row["until"] = max(row["until"], self.memory.now + timedelta(seconds=ttl_s))
            return refused or "open"

        operation = ExtendHold(HoldExtend(hold, id_, more, ttl_s))
        self._try(id_, ("extend", hold, more, ttl_s), operation, expected)

    @rule(hold=st.sampled_from(HOLDS), id_=st.sampled_from(IDS), amount=st.none() | st.integers(1, 50))
    def capture(self, hold: str, id_: str, amount: int | None) -> None:
        def expected() -> str:
            row = self._live(hold)
            if isinstance(row, str):
                return row
            taken = row["amount"] if amount is None else amount
            if taken > row["amount"]:
                return "exceeds_hold"
            row["captured"] = taken
            self.used += taken
            self._release(row, "captured")
            return "captured"

        operation = CaptureHold(HoldCapture(hold, id_, amount))
        self._try(id_, ("capture", hold, amount), operation, expected)

    @rule(hold=st.sampled_from(HOLDS), id_=st.sampled_from(IDS))
    def void(self, hold: str, id_: str) -> None:
        def expected() -> str:
            row = self._live(hold)
            if isinstance(row, str):
                return row
            self._release(row, "voided")
            return "voided"

        self._try(id_, ("void", hold), VoidHold(HoldVoid(hold, id_)), expected)

    @rule(hold=st.sampled_from(HOLDS), id_=st.sampled_from(IDS), amount=st.none() | st.integers(1, 50))
    def refund(self, hold: str, id_: str, amount: int | None) -> None:
        def expected() -> str:
            row = self.holds.get(hold)
            if row is None:
                return "hold_not_found"
            if row["state"] != "captured":
                return "hold_not_captured"
            left = row["captured"] - row["refunded"]
            back = left if amount is None else amount
            if back > left or back == 0:
                return "exceeds_capture"
            row["refunded"] += back
            self.wallet += back
            return "captured"

        self._try(id_, ("refund", hold, amount), RefundHold(HoldRefund(hold, id_, amount)), expected)

    @invariant()
    def the_ledger_says_what_the_model_says(self) -> None:
        memory, customer = self.memory, self.memory.customer
        held = sum(row["amount"] for row in self.holds.values() if row["state"] == "open")
        assert memory.money == (self.wallet, held)
        assert (customer.holds_nano, memory.spender.held_nano, memory.spender.used_nano) == (
            held,
            held,
            self.used,
        )
        assert sum(account.balance for account in memory.accounts.values()) == 0
        taken = sum(row["captured"] - row["refunded"] for row in self.holds.values())
        assert memory.accounts[REVENUE].balance == taken
        assert [event.sequence for event in memory.events] == list(range(1, customer.billing_sequence + 1))
        for id_, row in self.holds.items():
            assert memory.holds[id_].state == row["state"]

    def _try(self, id_: str, body: Any, operation: Operation, expected: Callable[[], str]) -> None:
        """Once per id: its repetition gets the answer again, another body a conflict."""
        moved = len(self.memory.transfers)
        answer = self.memory.apply(operation)
        if id_ in self.answers:
            before, stored = self.answers[id_]
            assert answer == (stored if before == body else "conflict")
            assert len(self.memory.transfers) == moved
            return
        want = expected()
        assert (answer.state if isinstance(answer, HoldState) else answer) == want
        final = isinstance(answer, HoldState)
        if final or answer in {"insufficient_quota", "budget_exceeded", "max_charge_exceeded"}:
            self.answers[id_] = (body, answer)

    def _over(self, row: dict[str, Any]) -> bool:
        return bool(row["state"] == "open" and self.memory.now >= row["until"])

    def _live(self, hold: str) -> Any:
        row = self.holds.get(hold)
        if row is None:
            return "hold_not_found"
        if self._over(row):
            self._release(row, "expired")
        codes = {"captured": "hold_already_captured", "voided": "hold_already_voided"}
        return row if row["state"] == "open" else codes.get(row["state"], "hold_expired")

    def _release(self, row: dict[str, Any], state: str) -> None:
        self.wallet += row["amount"] - row["captured"]
        row["state"] = state

    def _refused(self, amount: int, whole: int) -> str:
        held = sum(row["amount"] for row in self.holds.values() if row["state"] == "open")
        if whole > 45:
            return "max_charge_exceeded"
        if amount > LIMIT - self.used - held:
            return "budget_exceeded"
        return "insufficient_quota" if amount > self.wallet else ""


TestHolds = Model.TestCase
TestHolds.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@given(st.lists(st.integers(1, 10**18), min_size=1, max_size=6), st.data())
def test_shares_are_taken_back_in_proportion_and_never_beyond(shares: list[int], data: Any) -> None:
    rest = {str(number): share for number, share in enumerate(shares)}
    while left := sum(rest.values()):
        amount = data.draw(st.integers(max(1, left // 3), left))
        parts = apportion(amount, rest)
        assert sum(parts.values()) == amount
        for name, share in rest.items():
            assert 0 <= parts[name] <= share
            assert abs(parts[name] * left - amount * share) < left
        rest = {name: share - parts[name] for name, share in rest.items() if share > parts[name]}


def test_what_is_left_over_comes_from_the_largest_remainder_the_first_named_first() -> None:
    assert apportion(1, {"app": 1, "fees": 1}) == {"app": 1, "fees": 0}
    assert apportion(2, {"fees": 1, "app": 8}) == {"fees": 0, "app": 2}
    assert apportion(9, {"fees": 1, "app": 8}) == {"fees": 1, "app": 8}


def test_an_apps_account_may_owe_what_was_refunded_after_a_payout() -> None:
    memory = Memory()
    memory.fund(100)
    memory.open(0, 100, app="shop", paid_only=True)
    memory.apply(CaptureHold(HoldCapture(HOLDS[0], IDS[0], None, (HoldCredit("app_payable:shop", 100),))))
    memory.accounts["app_payable:shop"].debits += 100
    assert memory.apply(RefundHold(HoldRefund(HOLDS[0], IDS[1]))).refunded_nano == 100
    assert (memory.accounts["app_payable:shop"].balance, memory.money) == (-100, (100, 0))


def test_paid_only_holds_are_never_left_without_paid_money() -> None:
    memory = Memory()
    memory.fund(100)
    memory.customer.free_nano = 60
    assert memory.open(0, 41, paid_only=True) == "insufficient_quota"
    memory.open(1, 40, paid_only=True)
    assert memory.open(2, 1, paid_only=True) == "insufficient_quota"
    memory.open(3, 60)
    assert memory.apply(CaptureHold(HoldCapture(HOLDS[3], IDS[0]))).free_nano == 60
    assert memory.apply(CaptureHold(HoldCapture(HOLDS[1], IDS[1]))).free_nano == 0
    assert (memory.customer.free_nano, memory.customer.paid_holds_nano, memory.money) == (0, 0, (0, 0))


@pytest.mark.parametrize(
    ("period", "zone", "now", "start"),
    [
        ("day", "UTC", "2026-03-01T23:59:59", "2026-03-01T00:00:00"),
        ("week", "UTC", "2026-03-01T12:00:00", "2026-02-23T00:00:00"),
        ("month", "Asia/Tokyo", "2026-02-28T15:00:00", "2026-02-28T15:00:00"),
        ("month", "Asia/Tokyo", "2026-02-28T14:59:59", "2026-01-31T15:00:00"),
        ("total", "Asia/Tokyo", "2026-02-28T14:59:59", "1970-01-01T00:00:00"),
        # New York changes its clock on 8 March 2026 at 07:00 UTC: the day has 23 hours
        ("day", "America/New_York", "2026-03-08T12:00:00", "2026-03-08T05:00:00"),
        ("day", "America/New_York", "2026-03-09T04:00:00", "2026-03-09T04:00:00"),
        ("week", "America/New_York", "2026-03-09T03:59:59", "2026-03-02T05:00:00"),
        # and on 1 November at 06:00 UTC: 25 hours
        ("day", "America/New_York", "2026-11-02T04:59:59", "2026-11-01T04:00:00"),
        # Beirut skips midnight on 29 March 2026: its day begins at 01:00, which is 22:00 UTC
        ("day", "Asia/Beirut", "2026-03-29T12:00:00", "2026-03-28T22:00:00"),
    ],
)
def test_windows_are_those_of_the_zones_clock(period: BudgetPeriod, zone: str, now: str, start: str) -> None:
    moment = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert window_start(period, moment, zone) == datetime.fromisoformat(start).replace(tzinfo=UTC)


@given(st.sampled_from(["America/New_York", "Asia/Beirut", "Australia/Lord_Howe", "America/Asuncion"]),
       st.sampled_from(["day", "week", "month"]),
       st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)))  # fmt: skip  # noqa: DTZ001
def test_a_window_contains_its_moment_and_its_own_beginning(
    zone: str, period: BudgetPeriod, naive: datetime
) -> None:
    now = naive.replace(tzinfo=UTC)
    start = window_start(period, now, zone)
    assert start <= now
    assert window_start(period, start, zone) == start


def test_another_clock_counts_its_use_from_now_on_and_a_clock_that_went_back_begins_nothing() -> None:
    spender = Spender(SPENDER, ACCOUNT)
    spender.take_over("key", Budget(10, "day"), START)
    spender.use(7, START)
    spender.roll(START - timedelta(days=1))
    assert (spender.used_nano, spender.budget_left()) == (7, 3)
    spender.take_over("key", Budget(10, "day", "Asia/Tokyo"), START)
    assert spender.budget_left() == 10


CHECKS: list[tuple[Callable[[Any], None], Any]] = [
    (check_open, HoldOpen("x", ACCOUNT, SPENDER, 1, 1)),
    (check_open, HoldOpen(HOLDS[0], ACCOUNT, SPENDER, 1, 1, currency="usd")),
    (check_extend, HoldExtend(HOLDS[0], "x", 1)),
    (check_extend, HoldExtend(HOLDS[0], IDS[0], 2**63)),
    (check_extend, HoldExtend(HOLDS[0], IDS[0], 0, -1)),
    (check_capture, HoldCapture("", IDS[0])),
    (check_capture, HoldCapture(HOLDS[0], IDS[0], 1, (HoldCredit("uncollected", 1),))),
    (check_capture, HoldCapture(HOLDS[0], IDS[0], 1, (HoldCredit("revenue", 2**63),))),
    (check_void, HoldVoid(HOLDS[0], "")),
    (check_refund, HoldRefund(HOLDS[0], "", 1)),
    (check_refund, HoldRefund(HOLDS[0], IDS[0], 0)),
    (check_refund, HoldRefund(HOLDS[0], IDS[0], 1, "\0")),
]


@pytest.mark.parametrize(("check", "request_"), CHECKS)
def test_a_call_that_can_never_be_right_is_refused(check: Callable[[Any], None], request_: Any) -> None:
    with pytest.raises(ServiceError) as refused:
        check(request_)
    assert refused.value.error_status == 400
