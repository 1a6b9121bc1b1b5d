"""Charges in one decision, what is owed to apps, and payouts, through the RPC on real PostgreSQL."""

import asyncio
from typing import Any

import msgspec
import pytest

from common.contracts.errors import ServiceError
from common.contracts.holds import (
    HOLD_CHARGE,
    HOLD_CHARGES,
    HOLD_OPEN,
    HOLD_REFUND,
    HOLD_VOID,
    HoldCharge,
    HoldCharges,
    HoldCredit,
    HoldOpen,
    HoldRefund,
    HoldState,
    HoldVoid,
)
from common.contracts.payables import PAYABLES_READ, PAYOUT_POST, PayablesRead, PayoutPost, PayoutState
from common.contracts.principals import Budget
from common.contracts.wallets import WALLET_READ, WalletRead
from common.kit.ids import uuid7

USD = 1_000_000_000


async def charge(billing: Any, account: str, amount_nano: int = USD, **fields: Any) -> HoldState:
    values: dict[str, Any] = {"hold": uuid7(), "spender": uuid7(), "ttl_s": 60, "app": "shop"} | fields
    opening = HoldOpen(
        account=account, amount_nano=amount_nano, purpose="charge", **({"paid_only": True} | values)
    )
    fee = amount_nano // 10
    shares = (HoldCredit("app_payable:shop", amount_nano - fee), HoldCredit("fees", fee))
    request = HoldCharge(opening, fields.get("id_", uuid7()), shares)
    state: HoldState = await billing.rpc.call(HOLD_CHARGE, request, 10)
    return state


async def pay(billing: Any, account: str, amount_nano: int, to: Any = "wallet", id_: str = "") -> PayoutState:
    request = PayoutPost(id_ or uuid7(), "shop", account, amount_nano, to)
    state: PayoutState = await billing.rpc.call(PAYOUT_POST, request, 10)
    return state


async def owed(billing: Any, *apps: str) -> tuple[int, ...]:
    return tuple((await billing.rpc.call(PAYABLES_READ, PayablesRead(apps))).balances_nano)


async def code_of(call: Any) -> tuple[str, int]:
    with pytest.raises(ServiceError) as refused:
        await call
    return refused.value.error_code, refused.value.error_status


async def proved(billing: Any) -> None:
    report = await billing.audit()
    assert report["ok"], report


async def test_a_charge_is_held_and_captured_in_one_decision_and_tells_who_got_what(billing: Any) -> None:
    account = await billing.funded("10")
    state = await charge(billing, account)
    assert (state.state, state.captured_nano, state.balance_nano) == ("captured", USD, 9 * USD)
    assert state.shares == (HoldCredit("app_payable:shop", USD * 9 // 10), HoldCredit("fees", USD // 10))
    refund = HoldRefund(state.hold, uuid7(), USD // 2)
    refunded = await billing.rpc.call(HOLD_REFUND, refund)
    assert {share.account: share.amount_nano for share in refunded.shares} == {
        "app_payable:shop": USD * 45 // 100,
        "fees": USD * 5 // 100,
    }
    assert await billing.rpc.call(HOLD_REFUND, refund) == refunded
    await proved(billing)


async def test_a_repeated_charge_is_answered_again_on_every_replica_and_taken_once(billing: Any) -> None:
    await billing.start_replica()
    account, hold, id_, spender = await billing.funded("10"), uuid7(), uuid7(), uuid7()
    opening = HoldOpen(hold, account, spender, USD, 60, app="shop", paid_only=True)
    request = HoldCharge(opening, id_, (HoldCredit("app_payable:shop", USD),))
    states = await asyncio.gather(*(billing.rpc.call(HOLD_CHARGE, request, 10) for _ in range(50)))
    assert all(state == states[0] for state in states)
    assert await billing.balance(account) == (9 * USD, 0)
    assert await owed(billing, "shop", "other") == (USD, 0)
    await proved(billing)


async def test_charges_of_one_message_are_decided_as_if_each_had_come_alone(billing: Any) -> None:
    account, poor = await billing.funded("2"), await billing.funded("0.5")

    def asked(account: str, amount_nano: int, credit_nano: int) -> HoldCharge:
        opening = HoldOpen(uuid7(), account, uuid7(), amount_nano, 60, app="shop", paid_only=True)
        return HoldCharge(opening, uuid7(), (HoldCredit("app_payable:shop", credit_nano),))

    charges = [
        asked(account, USD, USD),
        asked(poor, USD, USD),
        asked(account, USD, 1),
        asked(account, USD, USD),
    ]
    message = HoldCharges((*charges, asked(account, USD, USD)))
    decided = (await billing.rpc.call(HOLD_CHARGES, message, 10)).outcomes
    assert [outcome.state is not None for outcome in decided] == [True, False, False, True, False]
    codes = [outcome.refused.code for outcome in decided if outcome.refused is not None]
    assert codes == ["insufficient_quota", "invalid_request", "insufficient_quota"]
    assert (await billing.rpc.call(HOLD_CHARGES, message, 10)).outcomes == decided
    assert await billing.rpc.call(HOLD_CHARGE, charges[0], 10) == decided[0].state
    assert await billing.balance(account) == (0, 0)
    await proved(billing)


async def test_a_charge_goes_from_the_wallet_to_who_gets_it_and_is_told_once(billing: Any) -> None:
    account = await billing.funded("10")
    state = await charge(billing, account)
    moved = await billing.rows(
        "SELECT t.kind, d.name, c.name, t.amount FROM transfers AS t"
        " JOIN accounts AS d ON d.id = debit_account JOIN accounts AS c ON c.id = credit_account"
        " WHERE t.kind LIKE 'hold%' ORDER BY t.position"
    )
    wallet, fee = f"wallet:{account}", USD // 10
    assert [tuple(row) for row in moved] == [
        ("hold_charge", wallet, "app_payable:shop", USD - fee),
        ("hold_charge", wallet, "fees", fee),
    ]
    told = await billing.events("billing.hold", 1)
    assert [(event["type"], event["hold"], event["at_once"], event["held"]) for event in told] == [
        ("billing.hold.captured.v1", state.hold, True, "0")
    ]
    await proved(billing)


async def test_a_charge_of_a_hold_that_was_opened_before_is_a_conflict(billing: Any) -> None:
    account, hold = await billing.funded("10"), uuid7()
    opening = HoldOpen(hold, account, uuid7(), USD, 60, app="shop", paid_only=True)
    request = HoldCharge(opening, uuid7(), (HoldCredit("app_payable:shop", USD),))
    await billing.rpc.call(HOLD_OPEN, opening)
    assert await code_of(billing.rpc.call(HOLD_CHARGE, request)) == ("conflict", 409)
    other = msgspec.structs.replace(opening, hold=uuid7())
    made = HoldCharge(other, uuid7(), request.credits)
    await billing.rpc.call(HOLD_CHARGE, made)
    assert await code_of(billing.rpc.call(HOLD_OPEN, other)) == ("conflict", 409)
    assert await code_of(billing.rpc.call(HOLD_CHARGE, HoldCharge(other, uuid7(), request.credits))) == (
        "conflict",
        409,
    )
    assert await code_of(billing.rpc.call(HOLD_VOID, HoldVoid(other.hold, uuid7()))) == (
        "hold_already_captured",
        409,
    )
    assert await billing.balance(account) == (8 * USD, USD)
    await proved(billing)


async def test_a_charge_counts_in_the_budget_and_tells_its_alert(billing: Any) -> None:
    account, spender = await billing.funded("10"), uuid7()
    budget = Budget(2 * USD, "day", alert_percent=50)
    first = await charge(billing, account, spender=spender, budget=budget)
    assert first.budget_left_nano == USD
    alerts = await billing.events("billing.budget.alert.v1", 1)
    assert [(event["used"], event["held"]) for event in alerts] == [("1", "0")]
    await charge(billing, account, spender=spender, budget=budget)
    assert await code_of(charge(billing, account, 10, spender=spender, budget=budget)) == (
        "budget_exceeded",
        403,
    )
    await proved(billing)


async def test_a_refused_charge_moves_nothing_and_stays_refused(billing: Any) -> None:
    account, hold, id_, spender = await billing.funded("10"), uuid7(), uuid7(), uuid7()
    budget = Budget(USD, max_charge_nano=USD // 2)
    opening = HoldOpen(hold, account, spender, USD, 60, app="shop", paid_only=True, budget=budget)
    request = HoldCharge(opening, id_, (HoldCredit("app_payable:shop", USD),))
    for _ in range(2):
        assert await code_of(billing.rpc.call(HOLD_CHARGE, request)) == ("max_charge_exceeded", 403)
    assert await billing.balance(account) == (10 * USD, 0)
    await proved(billing)


@pytest.mark.parametrize(
    ("change", "credits_"),
    [
        ({}, (HoldCredit("app_payable:shop", USD - 1),)),
        ({}, (HoldCredit("app_payable:other", USD),)),
        ({"app": ""}, (HoldCredit("app_payable:shop", USD),)),
        ({"paid_only": False}, (HoldCredit("app_payable:shop", USD),)),
        ({}, (HoldCredit("wallet:x", USD),)),
        ({"amount_nano": 0}, ()),
    ],
)
async def test_a_charge_that_cannot_be_is_refused_before_anything_is_held(
    billing: Any, change: dict[str, Any], credits_: tuple[HoldCredit, ...]
) -> None:
    account = await billing.funded("10")
    values: dict[str, Any] = {"hold": uuid7(), "account": account, "spender": uuid7(), "amount_nano": USD}
    values |= {"ttl_s": 60, "app": "shop", "paid_only": True} | change
    refused = await code_of(billing.rpc.call(HOLD_CHARGE, HoldCharge(HoldOpen(**values), uuid7(), credits_)))
    assert refused == ("invalid_request", 400)
    assert await billing.balance(account) == (10 * USD, 0)
    assert await billing.rows("SELECT 1 FROM holds") == []


async def test_payouts_to_a_wallet_and_outside_never_take_more_than_is_owed(billing: Any) -> None:
    await billing.start_replica()
    account, owner = await billing.funded("100"), uuid7()
    for _ in range(10):
        await charge(billing, account)
    assert await owed(billing, "shop") == (9 * USD,)

    attempts = [pay(billing, owner, USD, "wallet" if number % 2 else "external") for number in range(40)]
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, ServiceError)]
    assert len(outcomes) - len(refused) == 9
    assert {(error.error_code, error.error_status) for error in refused} == {("exceeds_payable", 409)}
    assert await owed(billing, "shop") == (0,)
    outside = await billing.rows("SELECT credits - debits FROM accounts WHERE name = 'app_payouts'")
    inside = await billing.rpc.call(WALLET_READ, WalletRead(owner))
    assert inside.balance_nano + outside[0][0] == 9 * USD
    await proved(billing)


async def test_a_payout_is_made_once_per_id_and_a_refused_one_may_be_tried_again(billing: Any) -> None:
    account, owner, id_ = await billing.funded("100"), uuid7(), uuid7()
    assert await code_of(pay(billing, owner, USD, id_=id_)) == ("exceeds_payable", 409)
    await charge(billing, account, 10 * USD)
    first = await pay(billing, owner, USD, id_=id_)
    assert first == PayoutState(id_, 8 * USD)
    assert await pay(billing, owner, USD, id_=id_) == first
    assert await code_of(pay(billing, owner, 2 * USD, id_=id_)) == ("conflict", 409)
    assert await owed(billing, "shop") == (8 * USD,)
    events = await billing.events("billing.transfer.posted.v1", 2)
    posted = [event for event in events if event["kind"] == "app_payout"]
    assert [(event["account"], event["debit"], event["amount"]) for event in posted] == [
        (owner, "app_payable:shop", "1")
    ]
    await proved(billing)


async def test_a_refund_after_a_payout_is_owed_by_the_app(billing: Any) -> None:
    account, owner = await billing.funded("10"), uuid7()
    state = await charge(billing, account, 10 * USD)
    await pay(billing, owner, 9 * USD, "external")
    await billing.rpc.call(HOLD_REFUND, HoldRefund(state.hold, uuid7(), 10 * USD))
    assert await owed(billing, "shop") == (-9 * USD,)
    assert await code_of(pay(billing, owner, 1)) == ("exceeds_payable", 409)
    await proved(billing)


async def test_a_payout_that_cannot_be_is_refused(billing: Any) -> None:
    for request in (
        PayoutPost("x", "shop", uuid7(), USD, "wallet"),
        PayoutPost(uuid7(), "no app", uuid7(), USD, "wallet"),
        PayoutPost(uuid7(), "shop", uuid7(), 0, "wallet"),
        PayoutPost(uuid7(), "shop", uuid7(), 2**63, "wallet"),
    ):
        assert await code_of(billing.rpc.call(PAYOUT_POST, request)) == ("invalid_request", 400)
    assert await code_of(owed(billing, "no app")) == ("invalid_request", 400)
