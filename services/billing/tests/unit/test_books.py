"""The rules of money on books in memory: a batch is its operations one by one, and nothing is ever lost."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.domain.accounts import (
    LONG_AGO,
    PLATFORM_ACCOUNTS,
    PROMO,
    Account,
    Customer,
    held_name,
    wallet_name,
)
from billing.domain.allowances import Allowance, Allowances, is_due
from billing.domain.books import Books, Operation, Wanted
from billing.domain.leases import CloseLease, ExpireLeases, Lease, RequestLease
from billing.domain.spenders import Spender
from billing.domain.topups import PostTopup
from billing.domain.usage import ChargeUsage, check_record
from common.contracts.errors import ServiceError
from common.contracts.leases import LeaseClose, LeaseRequest
from common.contracts.principals import Budget
from common.contracts.usage import UsageRecord

START = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
TTL_S = 30.0


def uid(number: int) -> str:
    return f"00000000-0000-7000-8000-{number:012x}"


ACCOUNTS = [uid(1), uid(2)]
SPENDERS = {uid(11): ACCOUNTS[0], uid(12): ACCOUNTS[0], uid(13): ACCOUNTS[1]}
LEASES = [uid(100 + number) for number in range(5)]
DAY_S = 86_400
ALLOWANCES: Allowances = {"": Allowance(30, "day", "UTC")}
NEVER_MET = (0, 0, False, None, 0, LONG_AGO)


class Memory:
    """The ledger as rows in memory: what PostgreSQL is to the service, in a few dictionaries."""

    def __init__(self, allowances: Allowances | None = None) -> None:
        self.allowances = allowances
        self.accounts: dict[str, list[int]] = {name: [0, 0] for name in PLATFORM_ACCOUNTS}
        self.customers: dict[str, tuple[Any, ...]] = {}
        self.spenders: dict[str, tuple[Any, ...]] = {}
        self.leases: dict[str, tuple[Any, ...]] = {}
        self.claimed: set[str] = set()
        self.operations: dict[str, Any] = {}
        self.transfers: list[Any] = []
        self.charges: list[Any] = []
        self.events: list[Any] = []
        self.now = START

    def apply(self, batch: list[Operation]) -> list[Any]:
        """One transaction."""
        books, wanted = Books(self.now), Wanted()
        books.allowances = self.allowances
        for operation in batch:
            operation.want(wanted)
        self._load(books, wanted)
        outcomes: list[Any] = []
        for operation in batch:
            try:
                outcomes.append(operation.decide(books))
            except ServiceError as error:
                outcomes.append((error.error_code, error.message))
        self._save(books)
        return outcomes

    def _load(self, books: Books, wanted: Wanted) -> None:
        for id_ in wanted.leases & self.leases.keys():
            fixed, amounts = self.leases[id_][:5], self.leases[id_][5:]
            names = ("granted_nano", "spent_nano", "returned_nano", "sequence", "answer", "state")
            books.leases[id_] = lease = Lease(*fixed, **dict(zip(names, amounts, strict=True)))
            wanted.customers.add(lease.account)
            wanted.spenders.setdefault(lease.spender, (lease.account, "key"))
        for id_, (account, kind) in wanted.spenders.items():
            account_, kind_, budget, period, start, used, held = self.spenders.get(
                id_, (account, kind, None, "total", datetime(1970, 1, 1, tzinfo=UTC), 0, 0)
            )
            books.spenders[id_] = Spender(
                id_, account_, kind_, budget_nano=budget, period=period, window_start=start, used_nano=used,
                held_nano=held,
            )  # fmt: skip
        names_ = [*wanted.platform, *wanted.counters, *(wallet_name(id_) for id_ in wanted.customers)]
        names_ += [held_name(id_) for id_ in wanted.customers]
        if any(self._is_due(id_) for id_ in wanted.customers):
            names_.append(PROMO)
        for name in names_:
            debits, credits_ = self.accounts.setdefault(name, [0, 0])
            negative = name in PLATFORM_ACCOUNTS
            number = sorted(self.accounts).index(name)
            books.accounts[name] = Account(number, name, debits, credits_, allow_negative=negative)
        for id_ in wanted.customers:
            usage, billing, low, recalled_at, free, until = self.customers.get(id_, NEVER_MET)
            wallet, held = books.accounts[wallet_name(id_)], books.accounts[held_name(id_)]
            books.customers[id_] = Customer(
                id_, wallet, held, usage, billing, low=low, recalled_at=recalled_at, free_nano=free,
                allowance_until=until,
            )  # fmt: skip
        books.fresh_usage = wanted.usage - self.claimed
        self.claimed |= wanted.usage
        books.operations = {id_: self.operations[id_] for id_ in wanted.operations & self.operations.keys()}

    def _save(self, books: Books) -> None:
        for account in books.accounts.values():
            self.accounts[account.name] = [account.debits, account.credits]
        for c in books.customers.values():
            self.customers[c.id] = (
                c.usage_sequence, c.billing_sequence, c.low, c.recalled_at, c.free_nano, c.allowance_until
            )  # fmt: skip
        for s in books.spenders.values():
            self.spenders[s.id] = (
                s.account, s.kind, s.budget_nano, s.period, s.window_start, s.used_nano, s.held_nano,
            )  # fmt: skip
        for lease in books.leases.values():
            self.leases[lease.id] = (
                lease.id, lease.replica, lease.account, lease.spender, lease.expires_at, lease.granted_nano,
                lease.spent_nano, lease.returned_nano, lease.sequence, lease.answer, lease.state,
            )  # fmt: skip
        self.operations |= {row.id: row for row in books.new_operations}
        self.transfers += books.transfers
        self.charges += books.charges
        self.events += books.events

    def _is_due(self, id_: str) -> bool:
        free, until = self.customers.get(id_, NEVER_MET)[4:]
        return is_due(self.allowances, "", None, until, free, self.now)

    def balance(self, name: str) -> int:
        """Credits - debits."""
        debits, credits_ = self.accounts[name]
        return credits_ - debits

    def check(self) -> None:
        """The invariants."""
        assert sum(credits_ - debits for debits, credits_ in self.accounts.values()) == 0
        for name in self.accounts:
            assert name in PLATFORM_ACCOUNTS or self.balance(name) >= 0
        for account in self.customers:
            money = self.balance(wallet_name(account)) + self.balance(held_name(account))
            assert 0 <= self.customers[account][4] <= money
            open_ = [row for row in self.leases.values() if row[2] == account]
            assert self.balance(held_name(account)) == sum(row[5] - row[6] - row[7] for row in open_)
            told = [charge.sequence for charge in self.charges if charge.record.account == account]
            assert told == list(range(1, self.customers[account][0] + 1))
            billing = [event.sequence for event in self.events if event.subject.startswith("billing.")
                       and event.subject.endswith(account)]  # fmt: skip
            assert billing == list(range(1, self.customers[account][1] + 1))
        for id_, row in self.spenders.items():
            held = sum(lease[5] - lease[6] - lease[7] for lease in self.leases.values() if lease[3] == id_)
            assert row[6] == held
        charged = [charge.record.id for charge in self.charges]
        assert len(charged) == len(set(charged))
        for charge in self.charges:
            parts = charge.from_held_nano + charge.overage_nano + charge.uncollected_nano
            assert parts == charge.record.cost_nano

    def facts(self) -> tuple[Any, ...]:
        """Everything but ids minted on the way."""
        transfers = [
            (t.kind, t.debit, t.credit, t.amount_nano, t.debit_after, t.credit_after, t.reference)
            for t in self.transfers
        ]
        charges = [(c.record.id, c.sequence, c.from_held_nano, c.overage_nano, c.uncollected_nano)
                   for c in self.charges]  # fmt: skip
        events = [(event.subject, event.sequence) for event in self.events]
        return (
            self.accounts, self.customers, self.spenders, self.leases, self.claimed,
            self.operations.keys(), transfers, charges, events,
        )  # fmt: skip


def record(number: int, account: str, spender: str, lease: str, cost: int) -> UsageRecord:
    return UsageRecord(
        uid(10_000 + number), "request-1", account, "user", spender, lease, "chat", "m", "m", "c", "default",
        1_768_478_400_000, 5, None, 200, "ok", {"call": cost}, {"call": 1000}, 1, 1_000_000, cost,
    )  # fmt: skip


@st.composite
def operations(draw: st.DrawFn) -> Operation:
    """Any operation on a small world, valid or not, repeated or new."""
    spender = draw(st.sampled_from(sorted(SPENDERS)))
    account = SPENDERS[spender] if draw(st.integers(0, 9)) else draw(st.sampled_from(ACCOUNTS))
    lease = draw(st.sampled_from(LEASES))
    amounts = st.integers(0, 60)
    kinds = ["topup", "request", "request", "request", "close", "usage", "usage", "expire"]
    kind = draw(st.sampled_from(kinds))
    if kind == "topup":
        amount = draw(st.integers(1, 100))
        return PostTopup(uid(1000 + draw(st.integers(0, 3))), account, amount, "topup", "")
    if kind == "close":
        return CloseLease(LeaseClose(lease, draw(st.integers(0, 4)), draw(amounts)), TTL_S)
    if kind == "expire":
        return ExpireLeases(tuple(LEASES), START + timedelta(seconds=draw(st.sampled_from([0, 59, 61, 500]))))
    if kind == "usage":
        numbers = draw(st.lists(st.integers(0, 12), min_size=1, max_size=4))
        known = draw(st.sampled_from([lease, ""]))
        return ChargeUsage(tuple(record(n, account, spender, known, 7 * n) for n in numbers))
    budget = draw(st.none() | st.builds(Budget, st.integers(0, 80), st.sampled_from(["total", "day"])))
    needs = tuple(draw(st.lists(amounts, max_size=3)))
    return RequestLease(
        LeaseRequest(
            lease, draw(st.integers(0, 4)), "r", account, spender, "key", needs, draw(st.integers(0, 4)),
            draw(st.sampled_from([0, 0, 5])), budget,
        ),
        TTL_S,
    )  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(operations(), st.integers(0, 40) | st.just(DAY_S)), max_size=25),
    st.sampled_from([None, ALLOWANCES]),
)
def test_invariants_hold_after_every_operation(
    steps: list[tuple[Operation, int]], allowances: Allowances | None
) -> None:
    memory = Memory(allowances)
    for operation, seconds in steps:
        memory.now += timedelta(seconds=seconds)
        before = memory.facts()
        outcome = memory.apply([operation])[0]
        memory.check()
        if isinstance(outcome, tuple):
            refused = [part for part, old in zip(memory.facts()[4:], before[4:], strict=True) if part != old]
            assert refused == []


@settings(max_examples=300, deadline=None)
@given(st.lists(operations(), max_size=25), st.sampled_from([None, ALLOWANCES]))
def test_a_batch_decides_as_its_operations_one_by_one(
    batch: list[Operation], allowances: Allowances | None
) -> None:
    together, apart = Memory(allowances), Memory(allowances)
    for memory in (together, apart):
        memory.apply([PostTopup(uid(900), ACCOUNTS[0], 100, "grant", ""),
                      PostTopup(uid(901), ACCOUNTS[1], 50, "grant", "")])  # fmt: skip
    at_once = together.apply(batch)
    one_by_one = [apart.apply([operation])[0] for operation in batch]
    assert at_once == one_by_one
    assert together.facts() == apart.facts()


@settings(max_examples=100, deadline=None)
@given(st.lists(operations(), max_size=12))
def test_a_batch_repeated_after_a_lost_commit_moves_no_more_money(batch: list[Operation]) -> None:
    memory = Memory()
    memory.apply([PostTopup(uid(900), ACCOUNTS[0], 100, "grant", "")])
    memory.apply(batch)
    moved = len(memory.transfers)
    memory.apply(batch[-1:])
    assert len(memory.transfers) == moved


def funded(amount: int) -> Memory:
    memory = Memory()
    memory.apply([PostTopup(uid(900), ACCOUNTS[0], amount, "grant", "")])
    return memory


def ask(number: int = 0, **fields: Any) -> RequestLease:
    values: dict[str, Any] = {"lease": LEASES[number], "sequence": 0, "replica": "r", "account": ACCOUNTS[0]}
    return RequestLease(LeaseRequest(**(values | {"spender": uid(11)} | fields)), TTL_S)


def test_needs_are_met_whole_and_in_order_while_money_lasts() -> None:
    grant = funded(10).apply([ask(needs_nano=(4, 7, 5, 2))])[0]
    assert (grant.granted_nano, grant.low, grant.reason, grant.available_nano) == (9, True, "balance", 1)


@pytest.mark.parametrize(("balance", "granted", "low"), [(209, 10, True), (210, 20, False)])
def test_headroom_takes_a_comfortable_balance(balance: int, granted: int, *, low: bool) -> None:
    grant = funded(balance).apply([ask(needs_nano=(10,), wants_nano=10)])[0]
    assert (grant.granted_nano, grant.low) == (10, low)
    grant = funded(balance + 200).apply([ask(needs_nano=(10,), wants_nano=20)])[0]
    assert (grant.granted_nano, grant.low) == (granted, low)


def test_headroom_stays_within_the_budget() -> None:
    grant = funded(10_000).apply([ask(needs_nano=(10,), wants_nano=100, budget=Budget(25))])[0]
    assert (grant.granted_nano, grant.reason) == (25, "")


def test_the_last_cents_go_to_a_lone_stream_and_to_nobody_else() -> None:
    memory = funded(10)
    assert memory.apply([ask(needs_nano=(50,), minimum_nano=11)])[0].granted_nano == 0
    grant = memory.apply([ask(needs_nano=(50,), minimum_nano=10, sequence=1)])[0]
    assert (grant.granted_nano, grant.reason, grant.low) == (10, "balance", True)
    other = funded(10)
    other.apply([ask(1, needs_nano=(1,), spender=uid(12))])
    assert other.apply([ask(needs_nano=(50,), minimum_nano=5)])[0].granted_nano == 0


def test_overage_takes_the_wallet_to_zero_and_the_rest_is_uncollected() -> None:
    memory = funded(10)
    memory.apply([ask(needs_nano=(4,))])
    memory.apply([ChargeUsage((record(1, ACCOUNTS[0], uid(11), LEASES[0], 25),))])
    charge = memory.charges[0]
    assert (charge.from_held_nano, charge.overage_nano, charge.uncollected_nano) == (4, 6, 15)
    assert [transfer.kind for transfer in memory.transfers[-3:]] == ["usage", "overage", "uncollected"]
    assert memory.balance("revenue") == 25
    assert memory.balance("uncollected") == -15


def test_usage_on_its_way_is_paid_from_what_a_closed_lease_still_holds() -> None:
    memory = funded(10)
    memory.apply([ask(needs_nano=(10,)), CloseLease(LeaseClose(LEASES[0], 1, 3), TTL_S)])
    memory.apply([ChargeUsage((record(1, ACCOUNTS[0], uid(11), LEASES[0], 7),))])
    assert (memory.charges[0].from_held_nano, memory.balance(wallet_name(ACCOUNTS[0]))) == (7, 3)


def test_another_accounts_lease_pays_nothing() -> None:
    memory = funded(10)
    memory.apply([ask(needs_nano=(10,))])
    memory.apply([ChargeUsage((record(1, ACCOUNTS[1], uid(13), LEASES[0], 7),))])
    assert memory.charges[0].uncollected_nano == 7
    assert memory.balance(held_name(ACCOUNTS[0])) == 10


def test_a_free_request_is_recorded_without_a_transfer() -> None:
    memory = funded(10)
    memory.apply([ChargeUsage((record(0, ACCOUNTS[0], uid(11), "", 0),))])
    assert (memory.charges[0].transfer, len(memory.transfers), memory.charges[0].sequence) == ("", 1, 1)


@pytest.mark.parametrize(
    "fields",
    [
        {"cost_nano": 8},
        {"cost_nano": -7, "quantities": {"call": -7}},
        {"id": "not-a-uuid"},
        {"lease": "not-a-uuid"},
        {"started_at_ms": -1},
        {"started_at_ms": 10**15},
        {"duration_ms": 2**31},
        {"rate_micro": -1},
    ],
)
def test_a_record_that_cannot_be_true_is_refused(fields: dict[str, Any]) -> None:
    good = record(1, ACCOUNTS[0], uid(11), "", 7)
    check_record(good)
    values = {name: getattr(good, name) for name in good.__struct_fields__} | fields
    with pytest.raises(ServiceError):
        check_record(UsageRecord(**values))
