"""Budgets of spenders: windows on a clock of their choice, alerts, the most to spend at once."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from common.contracts.errors import ServiceError
from common.contracts.holds import HOLD_CAPTURE, HOLD_OPEN, HoldCapture, HoldOpen, HoldState
from common.contracts.principals import Budget
from common.contracts.spenders import SPENDERS_READ, SpendersRead, SpenderUse
from common.kit.ids import uuid7

USD = 1_000_000_000
WAITS_S = 10


async def hold(billing: Any, account: str, spender: str, amount_nano: int, budget: Budget) -> HoldState:
    request = HoldOpen(uuid7(), account, spender, amount_nano, 3600, budget=budget)
    state: HoldState = await billing.rpc.call(HOLD_OPEN, request, WAITS_S)
    return state


async def spend(billing: Any, account: str, spender: str, amount_nano: int, budget: Budget) -> HoldState:
    opened = await hold(billing, account, spender, amount_nano, budget)
    state: HoldState = await billing.rpc.call(HOLD_CAPTURE, HoldCapture(opened.hold, uuid7()), WAITS_S)
    return state


async def refusal(call: Any) -> ServiceError:
    with pytest.raises(ServiceError) as refused:
        await call
    return refused.value


async def test_a_window_begins_at_midnight_of_the_chosen_clock(billing: Any) -> None:
    account, spender = await billing.funded("10"), uuid7()
    budget = Budget(USD, "day", "Asia/Tokyo")  # it is 21:00 there
    await spend(billing, account, spender, USD, budget)
    billing.clock.advance(3 * 3600 - 1)
    error = await refusal(hold(billing, account, spender, 1, budget))
    assert (error.error_code, error.error_status) == ("budget_exceeded", 403)
    billing.clock.advance(1)
    assert (await hold(billing, account, spender, USD, budget)).budget_left_nano == 0
    started = (await billing.rows("SELECT window_start FROM spenders"))[0][0]
    assert started == datetime(2026, 1, 15, 15, tzinfo=UTC)


async def test_an_alert_and_an_exhausted_budget_are_told_once_per_window(billing: Any) -> None:
    account, spender = await billing.funded("100"), uuid7()
    budget = Budget(10 * USD, "day", alert_percent=80)
    for _ in range(2):
        await spend(billing, account, spender, 7 * USD, budget)
        await billing.request(account=account, spender=spender, budget=budget, needs_nano=(USD,))
        await spend(billing, account, spender, USD, budget)
        for _ in range(3):
            assert (await refusal(hold(billing, account, spender, 9 * USD, budget))).error_status == 403
            refused = await billing.request(
                account=account, spender=spender, budget=budget, needs_nano=(9 * USD,)
            )
            assert refused.reason in {"budget", "recall"}
        await billing.change("UPDATE leases SET expires_at = '2026-01-01'")
        billing.clock.advance(86_400)

        async def returned() -> bool:
            return bool((await billing.balance(account))[1] == 0)

        await billing.until(returned)
    alerts = await billing.events("billing.budget.alert.v1", 2)
    assert [(event["percent"], event["limit"], event["spender"]) for event in alerts] == [
        (80, "10", spender)
    ] * 2
    assert [(event["used"], event["held"]) for event in alerts] == [("7", "1")] * 2
    assert alerts[0]["window_start"] < alerts[1]["window_start"]
    exhausted = await billing.events("billing.budget.exhausted.v1", 2)
    assert [event["asked"] for event in exhausted] == ["9", "9"]
    told = await billing.rows(
        "SELECT billing_sequence FROM customers WHERE account = CAST(:a AS uuid)", a=account
    )
    assert told[0][0] > 0
    report = await billing.audit()
    assert report["ok"], report


async def test_nothing_is_spent_at_once_beyond_the_limit_for_that(billing: Any) -> None:
    account, spender = await billing.funded("10"), uuid7()
    budget = Budget(2**63 - 1, max_charge_nano=USD)
    error = await refusal(hold(billing, account, spender, USD + 1, budget))
    assert (error.error_code, error.error_status) == ("max_charge_exceeded", 403)
    assert "$1" in error.message
    opened = await hold(billing, account, spender, USD, budget)
    assert opened.held_nano == USD
    grant = await billing.request(
        account=account, spender=spender, budget=budget, needs_nano=(USD + 1, USD), wants_nano=5 * USD
    )
    assert (grant.granted_nano, grant.reason, grant.available_nano) == (USD, "max_charge", USD)
    assert await billing.balance(account) == (8 * USD, 2 * USD)


async def test_a_budget_holds_on_two_replicas_for_leases_and_holds_at_once(billing: Any) -> None:
    await billing.start_replica()
    account, spender = await billing.funded("100"), uuid7()
    budget = Budget(10 * USD, "month", "America/New_York")

    async def reserve(number: int) -> int:
        if number % 2:
            grant = await billing.request(
                account=account, spender=spender, budget=budget, needs_nano=(USD,), wants_nano=0
            )
            return int(grant.granted_nano)
        try:
            return (await spend(billing, account, spender, USD, budget)).captured_nano
        except ServiceError as error:
            assert error.error_code == "budget_exceeded"  # noqa: PT017  the others are failures
            return 0

    reserved = await asyncio.gather(*(reserve(number) for number in range(100)))
    assert sum(reserved) == 10 * USD
    report = await billing.audit()
    assert report["ok"], report


async def test_a_zone_that_nobody_knows_is_refused_for_leases_too(billing: Any) -> None:
    account = await billing.funded("1")
    for zone in ("Mars/Olympus", "", "America", "a\0b", "x" * 5000):
        error = await refusal(billing.request(account=account, budget=Budget(1, "day", zone)))
        assert (error.error_status, error.param) == (400, "budget.timezone"), zone


async def test_other_services_read_what_was_used_in_the_window_that_is_now(billing: Any) -> None:
    account, spender, other = await billing.funded("10"), uuid7(), uuid7()
    budget = Budget(5 * USD, "day", "Asia/Tokyo")
    await spend(billing, account, spender, USD, budget)
    await hold(billing, account, spender, 2 * USD, budget)
    asked = SpendersRead((spender, other))
    assert (await billing.rpc.call(SPENDERS_READ, asked)).spenders == (
        SpenderUse(spender, "day", "Asia/Tokyo", USD, 2 * USD),
    )
    billing.clock.advance(86_400)
    [use] = (await billing.rpc.call(SPENDERS_READ, asked)).spenders
    assert use.used_nano == 0
    for wrong in (("x",), (spender,) * 1_001):
        error = await refusal(billing.rpc.call(SPENDERS_READ, SpendersRead(wrong)))
        assert (error.error_status, error.param) == (400, "spenders")
