"""Holds through the RPC, on real PostgreSQL: reserved once, resolved at most once, nothing lost."""

import asyncio
from typing import Any

import pytest

from common.contracts.errors import ServiceError
from common.contracts.holds import (
    HOLD_CAPTURE,
    HOLD_EXTEND,
    HOLD_OPEN,
    HOLD_REFUND,
    HOLD_VOID,
    HoldCapture,
    HoldCredit,
    HoldExtend,
    HoldOpen,
    HoldRefund,
    HoldState,
    HoldVoid,
)
from common.contracts.principals import Budget
from common.kit.ids import uuid7
from common.testing.clock import FakeClock

USD = 1_000_000_000


class Holder:
    """A caller of the five methods, with ids of its own where a test names none."""

    def __init__(self, billing: Any) -> None:
        self.billing = billing

    async def open(self, account: str, amount_nano: int = USD, **fields: Any) -> HoldState:
        values: dict[str, Any] = {"hold": uuid7(), "spender": uuid7(), "ttl_s": 60} | fields
        request = HoldOpen(account=account, amount_nano=amount_nano, **values)
        state: HoldState = await self.billing.rpc.call(HOLD_OPEN, request, 10)
        return state

    async def call(self, method: Any, request: Any) -> HoldState:
        state: HoldState = await self.billing.rpc.call(method, request, 10)
        return state

    async def extend(self, hold: str, **fields: Any) -> HoldState:
        return await self.call(HOLD_EXTEND, HoldExtend(hold, **({"id": uuid7()} | fields)))

    async def capture(self, hold: str, amount_nano: int | None = None, **fields: Any) -> HoldState:
        values = {"id": uuid7(), "amount_nano": amount_nano} | fields
        return await self.call(HOLD_CAPTURE, HoldCapture(hold, **values))

    async def void(self, hold: str, id_: str = "") -> HoldState:
        return await self.call(HOLD_VOID, HoldVoid(hold, id_ or uuid7()))

    async def refund(self, hold: str, amount_nano: int | None = None, **fields: Any) -> HoldState:
        values = {"id": uuid7(), "amount_nano": amount_nano} | fields
        return await self.call(HOLD_REFUND, HoldRefund(hold, **values))


@pytest.fixture
def holds(billing: Any) -> Holder:
    return Holder(billing)


async def code_of(call: Any) -> tuple[str, int]:
    """The refusal of a call that must be refused."""
    with pytest.raises(ServiceError) as refused:
        await call
    return refused.value.error_code, refused.value.error_status


async def proved(billing: Any) -> None:
    report = await billing.audit()
    assert report["ok"], report


async def platform(billing: Any, name: str) -> int:
    rows = await billing.rows("SELECT credits - debits FROM accounts WHERE name = :name", name=name)
    return int(rows[0][0])


async def test_a_hold_is_opened_extended_captured_in_part_and_refunded(billing: Any, holds: Holder) -> None:
    account = await billing.funded("10")
    opened = await holds.open(account, 2 * USD, reference="task-1")
    assert (opened.state, opened.held_nano, opened.balance_nano) == ("open", 2 * USD, 8 * USD)
    assert opened.expires_at_ms == int(billing.clock.time() * 1000) + 60_000
    more = await holds.extend(opened.hold, more_nano=USD, ttl_s=90)
    assert (more.amount_nano, more.expires_at_ms) == (3 * USD, opened.expires_at_ms + 30_000)
    taken = await holds.capture(opened.hold, 2 * USD)
    assert (taken.state, taken.captured_nano, taken.released_nano, taken.held_nano) == (
        "captured", 2 * USD, USD, 0,
    )  # fmt: skip
    assert await billing.balance(account) == (8 * USD, 0)
    back = await holds.refund(opened.hold, USD // 2, reason="half of it failed")
    assert (back.refunded_nano, back.balance_nano) == (USD // 2, 8 * USD + USD // 2)
    await holds.refund(opened.hold)
    assert await billing.balance(account) == (10 * USD, 0)
    assert await platform(billing, "revenue") == 0
    await proved(billing)


async def test_the_same_id_gets_the_same_answer_and_another_body_a_conflict(
    billing: Any, holds: Holder
) -> None:
    account, spender, hold = await billing.funded("10"), uuid7(), uuid7()
    fields: dict[str, Any] = {"hold": hold, "spender": spender}
    opened = await holds.open(account, **fields)
    assert await holds.open(account, **fields, budget=Budget(5 * USD)) == opened
    assert await code_of(holds.open(account, 2, **fields)) == ("conflict", 409)
    assert await code_of(holds.open(account, **fields, reference="other")) == ("conflict", 409)
    id_ = uuid7()
    taken = await holds.capture(hold, USD // 2, id=id_)
    billing.clock.advance(3600)
    assert await holds.capture(hold, USD // 2, id=id_) == taken
    assert await holds.open(account, **fields) == opened
    assert await code_of(holds.capture(hold, USD, id=id_)) == ("conflict", 409)
    assert await code_of(holds.void(hold, id_)) == ("conflict", 409)
    refund = uuid7()
    answers = [await holds.refund(hold, 7, id=refund) for _ in range(2)]
    assert answers[0] == answers[1]
    assert await billing.balance(account) == (9 * USD + USD // 2 + 7, 0)
    await proved(billing)


async def test_a_hold_is_resolved_at_most_once(billing: Any, holds: Holder) -> None:
    account = await billing.funded("10")
    captured, voided, late = [(await holds.open(account)).hold for _ in range(3)]
    await holds.capture(captured)
    assert (await holds.void(voided)).released_nano == USD
    billing.clock.advance(60)
    for hold, code in (
        (captured, "hold_already_captured"),
        (voided, "hold_already_voided"),
        (late, "hold_expired"),
    ):
        assert await code_of(holds.capture(hold)) == (code, 409)
        assert await code_of(holds.void(hold)) == (code, 409)
        assert await code_of(holds.extend(hold, ttl_s=100)) == (code, 409)
    assert await code_of(holds.refund(voided)) == ("hold_not_captured", 409)
    unknown = uuid7()
    for call in (holds.capture(unknown), holds.void(unknown), holds.extend(unknown, ttl_s=1)):
        assert await code_of(call) == ("hold_not_found", 404)
    assert await code_of(holds.refund(unknown)) == ("hold_not_found", 404)
    assert await billing.balance(account) == (9 * USD, 0)
    await proved(billing)


async def test_expiry_is_exact_and_stays_true_on_a_replica_whose_clock_is_behind(
    billing: Any, holds: Holder
) -> None:
    account = await billing.funded("10")
    first, second = await holds.open(account), await holds.open(account)
    billing.clock.advance(59.999)
    assert (await holds.capture(first.hold)).state == "captured"
    billing.clock.advance(0.001)
    assert await code_of(holds.capture(second.hold)) == ("hold_expired", 409)
    billing.clock = FakeClock()
    await billing.start_replica()
    for _ in range(6):
        assert await code_of(holds.capture(second.hold)) == ("hold_expired", 409)
    assert await billing.balance(account) == (9 * USD, 0)
    await proved(billing)


async def test_the_sweeper_returns_money_in_the_order_of_expiry(billing: Any, holds: Holder) -> None:
    account = await billing.funded("10")
    opened = [await holds.open(account, ttl_s=ttl_s) for ttl_s in (30, 10, 20)]
    kept = await holds.open(account, ttl_s=3600)
    billing.clock.advance(31)

    async def returned() -> bool:
        return bool(await billing.balance(account) == (9 * USD, USD))

    await billing.until(returned)
    events = await billing.events("billing.hold.expired.v1", 3)
    assert [event["hold"] for event in events] == [opened[1].hold, opened[2].hold, opened[0].hold]
    assert [event["held"] for event in events] == ["3", "2", "1"]
    assert (await holds.void(kept.hold)).state == "voided"
    await proved(billing)


async def test_two_hundred_opens_on_a_balance_for_ten_are_exactly_ten(billing: Any, holds: Holder) -> None:
    await billing.start_replica()
    account = await billing.funded("10")
    calls = (holds.open(account) for _ in range(200))
    answers = await asyncio.gather(*calls, return_exceptions=True)
    opened = [answer for answer in answers if isinstance(answer, HoldState)]
    refused = {answer.error_code for answer in answers if isinstance(answer, ServiceError)}
    assert (len(opened), refused) == (10, {"insufficient_quota"})
    assert await billing.balance(account) == (0, 10 * USD)
    await proved(billing)


async def test_an_id_that_failed_for_want_of_money_stays_failed(billing: Any, holds: Holder) -> None:
    account, spender, hold, id_ = uuid7(), uuid7(), uuid7(), uuid7()
    fields: dict[str, Any] = {"hold": hold, "spender": spender}
    assert await code_of(holds.open(account, **fields)) == ("insufficient_quota", 402)
    await billing.topup(account, "10")
    assert await code_of(holds.open(account, **fields)) == ("insufficient_quota", 402)
    assert await code_of(holds.open(account, 5, **fields)) == ("conflict", 409)
    opened = await holds.open(account, 9 * USD, spender=spender)
    assert await code_of(holds.extend(opened.hold, id=id_, more_nano=2 * USD)) == ("insufficient_quota", 402)
    await billing.topup(account, "10")
    assert await code_of(holds.extend(opened.hold, id=id_, more_nano=2 * USD)) == ("insufficient_quota", 402)
    assert (await holds.extend(opened.hold, more_nano=2 * USD)).held_nano == 11 * USD
    await proved(billing)


@pytest.mark.parametrize("second", ["void", "capture", "expire"])
async def test_a_race_resolves_a_hold_once_on_two_replicas(billing: Any, holds: Holder, second: str) -> None:
    await billing.start_replica()
    account = await billing.funded("20")
    opened = [(await holds.open(account)).hold for _ in range(20)]

    async def other(hold: str) -> HoldState:
        if second == "void":
            return await holds.void(hold)
        if second == "expire":
            billing.clock.advance(4)
        return await holds.capture(hold, USD // 2)

    calls = [call(hold) for hold in opened for call in (holds.capture, other, holds.capture)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    done = [answer for answer in answers if isinstance(answer, HoldState)]
    refused = {answer.error_code for answer in answers if isinstance(answer, ServiceError)}
    assert refused <= {"hold_already_captured", "hold_already_voided", "hold_expired"}
    assert len(done) + len([a for a in answers if isinstance(a, ServiceError)]) == 60
    assert len({answer.hold for answer in done}) == len(done)
    billing.clock.advance(100)

    async def settled() -> bool:
        return bool((await billing.balance(account))[1] == 0)

    await billing.until(settled)
    taken = sum(answer.captured_nano for answer in done)
    assert await billing.balance(account) == (20 * USD - taken, 0)
    await proved(billing)


async def test_a_thousand_lease_requests_on_a_balance_for_ten_get_exactly_ten(billing: Any) -> None:
    await billing.start_replica()
    account = await billing.funded("10")
    grants = await asyncio.gather(*(billing.request(account=account, needs_nano=(USD,)) for _ in range(1000)))
    assert sum(grant.granted_nano == USD for grant in grants) == 10
    assert sum(grant.granted_nano for grant in grants) == 10 * USD
    await proved(billing)


async def test_leases_and_holds_share_one_balance_and_one_budget(billing: Any, holds: Holder) -> None:
    account, spender = await billing.funded("10"), uuid7()
    budget = Budget(3 * USD)
    await holds.open(account, 2 * USD, spender=spender, budget=budget)
    grant = await billing.request(account=account, spender=spender, budget=budget, needs_nano=(2 * USD,))
    assert grant.granted_nano == 0
    grant = await billing.request(account=account, spender=spender, budget=budget, needs_nano=(USD,))
    assert grant.granted_nano == USD
    assert await code_of(holds.open(account, 1, spender=spender, budget=budget)) == ("budget_exceeded", 403)
    assert await billing.balance(account) == (7 * USD, 3 * USD)
    await proved(billing)


async def test_money_that_relays_have_idle_comes_back_for_a_hold(billing: Any, holds: Holder) -> None:
    account = await billing.funded("10")
    idle = await billing.request(account=account, needs_nano=(8 * USD,))
    opening = asyncio.create_task(holds.open(account, 5 * USD))
    events = await billing.events("billing.lease.recalled.v1", 1)
    assert events[0]["account"] == account
    await billing.close(idle.lease, 1, 8 * USD)
    assert (await opening).held_nano == 5 * USD
    await proved(billing)


async def test_idle_money_that_stays_away_is_waited_for_no_longer_than_a_moment(
    billing: Any, holds: Holder
) -> None:
    account = await billing.funded("10")
    await billing.request(account=account, needs_nano=(8 * USD,))
    async with asyncio.timeout(5):
        assert await code_of(holds.open(account, 5 * USD)) == ("insufficient_quota", 402)
    assert await billing.balance(account) == (2 * USD, 8 * USD)


async def test_a_hold_is_no_reason_to_refuse_the_last_cents(billing: Any, holds: Holder) -> None:
    account = await billing.funded("10")
    await holds.open(account, 9 * USD)
    grant = await billing.request(account=account, needs_nano=(2 * USD,), minimum_nano=USD // 2)
    assert (grant.granted_nano, grant.reason) == (USD, "balance")


async def test_a_charge_is_split_between_the_app_and_the_fees(billing: Any, holds: Holder) -> None:
    account = await billing.funded("10")
    opened = await holds.open(account, USD, app="shop", paid_only=True, purpose="charge", reference="ch-1")
    credits_ = (HoldCredit("app_payable:shop", USD * 9 // 10), HoldCredit("fees", USD // 10))
    await holds.capture(opened.hold, credits=credits_)
    assert await platform(billing, "app_payable:shop") == USD * 9 // 10
    assert await platform(billing, "fees") == USD // 10
    event = (await billing.events("billing.hold.captured.v1", 1))[0]
    assert event["credits"] == {"app_payable:shop": "0.9", "fees": "0.1"}
    assert (event["app"], event["reference"], event["balance"], event["held"]) == ("shop", "ch-1", "9", "0")
    await holds.refund(opened.hold, USD // 2 + 1)
    refunded = (await billing.events("billing.hold.refunded.v1", 1))[0]
    assert refunded["debits"] == {"app_payable:shop": "0.450000001", "fees": "0.05"}
    await holds.refund(opened.hold)
    assert [await platform(billing, name) for name in ("app_payable:shop", "fees")] == [0, 0]
    assert await billing.balance(account) == (10 * USD, 0)
    assert await code_of(holds.refund(opened.hold)) == ("exceeds_capture", 409)
    await proved(billing)


async def test_a_free_allowance_never_pays_an_app(billing: Any, holds: Holder) -> None:
    account = await billing.funded("10")
    await billing.change("UPDATE customers SET free_nano = 4000000000, allowance_until = '2999-01-01'")
    paid: dict[str, Any] = {"app": "shop", "paid_only": True}
    assert await code_of(holds.open(account, 7 * USD, **paid)) == ("insufficient_quota", 402)
    opened = await holds.open(account, 5 * USD, **paid)
    assert await code_of(holds.open(account, 2 * USD, **paid)) == ("insufficient_quota", 402)
    other = await holds.open(account, 4 * USD, app="shop")
    shop = (HoldCredit("app_payable:shop", 4 * USD),)
    assert await code_of(holds.capture(other.hold, credits=shop)) == ("hold_not_paid_only", 409)
    assert (await holds.capture(other.hold)).free_nano == 4 * USD
    taken = await holds.capture(opened.hold, credits=(HoldCredit("app_payable:shop", 5 * USD),))
    assert (taken.free_nano, await billing.balance(account)) == (0, (USD, 0))
    await proved(billing)
    back = await holds.refund(other.hold, USD)
    assert back.refunded_nano == USD
    free = await billing.rows("SELECT free_nano FROM customers WHERE account = CAST(:a AS uuid)", a=account)
    assert free[0][0] == USD
    await proved(billing)


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"hold": "h"}, "hold", "invalid_request"),
    ({"hold": "A0000000-0000-7000-8000-000000000000"}, "hold", "invalid_request"),
    ({"account": "me"}, "account", "invalid_request"),
    ({"spender": ""}, "spender", "invalid_request"),
    ({"amount_nano": 0}, "amount_nano", "invalid_request"),
    ({"amount_nano": -1}, "amount_nano", "invalid_request"),
    ({"amount_nano": 2**63}, "amount_nano", "invalid_request"),
    ({"ttl_s": 0}, "ttl_s", "invalid_request"),
    ({"ttl_s": 31 * 86_400 + 1}, "ttl_s", "invalid_request"),
    ({"currency": "EUR"}, "currency", "currency_mismatch"),
    ({"purpose": "A Task"}, "purpose", "invalid_request"),
    ({"reference": "x" * 256}, "reference", "invalid_request"),
    ({"reference": "a\0b"}, "reference", "invalid_request"),
    ({"app": "a:b"}, "app", "invalid_request"),
    ({"budget": Budget(-1)}, "budget.limit_nano", "invalid_request"),
    ({"budget": Budget(1, "day", "Mars/Olympus")}, "budget.timezone", "invalid_request"),
    ({"budget": Budget(1, "day", "../../etc/passwd")}, "budget.timezone", "invalid_request"),
    ({"budget": Budget(1, alert_percent=0)}, "budget.alert_percent", "invalid_request"),
    ({"budget": Budget(1, max_charge_nano=0)}, "budget.max_charge_nano", "invalid_request"),
]


async def test_what_cannot_be_a_hold_is_refused_by_name_and_changes_nothing(
    billing: Any, holds: Holder
) -> None:
    account = await billing.funded("10")
    for fields, param, code in BAD:
        with pytest.raises(ServiceError) as refused:
            await holds.open(**({"account": account} | fields))
        assert (refused.value.error_code, refused.value.param) == (code, param), fields
        assert refused.value.error_status == 400
    assert await code_of(holds.open(account, 2**63 - 1)) == ("insufficient_quota", 402)
    assert await billing.balance(account) == (10 * USD, 0)
    assert await billing.rows("SELECT id FROM holds") == []


async def test_a_capture_that_cannot_be_is_refused_and_the_hold_is_what_it_was(
    billing: Any, holds: Holder
) -> None:
    account = await billing.funded("10")
    hold = (await holds.open(account, app="shop", paid_only=True)).hold
    assert await code_of(holds.capture(hold, USD + 1)) == ("exceeds_hold", 409)
    invalid = ("invalid_request", 400)
    for amount in (0, -1, 2**63):
        assert await code_of(holds.capture(hold, amount)) == invalid
        assert await code_of(holds.refund(hold, amount)) == invalid
    for credits_ in (
        (HoldCredit("revenue", USD - 1),),
        (HoldCredit("revenue", USD), HoldCredit("revenue", USD)),
        (HoldCredit("revenue", USD + 1), HoldCredit("fees", -1)),
        (HoldCredit("promo", USD),),
        (HoldCredit(f"wallet:{account}", USD),),
        (HoldCredit("app_payable:other", USD),),
    ):
        assert await code_of(holds.capture(hold, credits=credits_)) == invalid, credits_
    assert await code_of(holds.extend(hold)) == invalid
    assert await code_of(holds.extend(hold, more_nano=-1)) == invalid
    assert await code_of(holds.capture(hold, id="x")) == invalid
    assert (await holds.capture(hold)).captured_nano == USD
    assert await code_of(holds.refund(hold, USD + 1)) == ("exceeds_capture", 409)
    await proved(billing)


async def test_a_spender_of_another_account_holds_nothing(billing: Any, holds: Holder) -> None:
    spender = uuid7()
    await holds.open(await billing.funded("1"), spender=spender)
    other = await billing.funded("1")
    assert await code_of(holds.open(other, spender=spender)) == ("conflict", 409)
    assert await billing.balance(other) == (USD, 0)


async def test_holds_are_listed_for_their_owner_and_for_admins(billing: Any, holds: Holder) -> None:
    account = await billing.funded("10")
    opened = []
    for number in range(3):
        opened.append((await holds.open(account, reference=f"task-{number}")).hold)
        billing.clock.advance(1)
    await holds.capture(opened[0])
    own = billing.headers(account)
    first = (await billing.http.get("/api/billing/holds?limit=2", headers=own)).json()
    rest = (await billing.http.get(f"/api/billing/holds?after={first['next']}", headers=own)).json()
    assert [hold["id"] for hold in first["data"] + rest["data"]] == opened[::-1]
    assert rest["next"] is None
    item = rest["data"][0]
    assert (item["state"], item["captured"], item["held"], item["credits"]) == (
        "captured", "1", "0", {"revenue": "1"},
    )  # fmt: skip
    listed = await billing.http.get("/api/billing/holds?state=open", headers=own)
    assert [hold["id"] for hold in listed.json()["data"]] == opened[:0:-1]
    other = billing.headers(uuid7())
    path = f"/api/billing/holds/{opened[0]}"
    assert (await billing.http.get(path, headers=own)).json() == item
    assert (await billing.http.get(path, headers=other)).status_code == 404
    foreign = await billing.http.get(f"/api/billing/holds?account={account}", headers=other)
    assert foreign.status_code == 403
    admin = billing.headers(uuid7(), "admin")
    everybody = await billing.http.get("/api/billing/holds?account=all", headers=admin)
    assert len(everybody.json()["data"]) == 3
    for query in ("state=lost", "after=x", f"after=1-{'z' * 36}", "limit=501"):
        answer = await billing.http.get(f"/api/billing/holds?{query}", headers=own)
        assert answer.status_code == 400, query
