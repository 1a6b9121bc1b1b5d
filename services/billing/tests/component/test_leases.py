"""Leases through the RPC: money moves once, never below zero, and always comes back."""

import asyncio
from typing import Any

import pytest

from common.contracts.errors import ServiceError
from common.contracts.leases import LEASE_CALLS, LeaseCalls, LeaseClose, LeaseRequest
from common.contracts.principals import Budget
from common.kit.ids import uuid7

USD = 1_000_000_000


async def test_a_lease_is_granted_extended_renewed_and_closed(billing: Any) -> None:
    account, spender, lease = await billing.funded("10"), uuid7(), uuid7()
    first = await billing.request(
        lease=lease, account=account, spender=spender, needs_nano=(USD,), wants_nano=0
    )
    assert (first.granted_nano, first.low, first.reason) == (USD, False, "")
    second = await billing.request(
        lease=lease, sequence=1, account=account, spender=spender, needs_nano=(USD,), wants_nano=0
    )
    assert second.granted_nano == USD
    assert await billing.balance(account) == (8 * USD, 2 * USD)
    before = (await billing.rows("SELECT expires_at FROM leases"))[0][0]
    billing.clock.advance(20)
    renewed = await billing.request(lease=lease, sequence=2, account=account, spender=spender)
    assert renewed.granted_nano == 0
    after = (await billing.rows("SELECT expires_at FROM leases"))[0][0]
    assert (after - before).total_seconds() == 20
    closed = await billing.close(lease, 3, 2 * USD)
    assert (closed.returned_nano, closed.remaining_nano) == (2 * USD, 0)
    assert await billing.balance(account) == (10 * USD, 0)
    report = await billing.audit()
    assert report["ok"], report


async def test_the_same_sequence_gets_the_same_answer_and_an_older_one_is_refused(billing: Any) -> None:
    account, spender, lease = await billing.funded("10"), uuid7(), uuid7()
    fields = {"lease": lease, "account": account, "spender": spender, "needs_nano": (USD,)}
    answers = [await billing.request(**fields) for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]
    assert await billing.balance(account) == (9 * USD, USD)
    await billing.request(**fields, sequence=1)
    with pytest.raises(ServiceError) as stale:
        await billing.request(**fields)
    assert (stale.value.error_code, stale.value.error_status) == ("stale_sequence", 409)
    closings = [await billing.close(lease, 2, USD) for _ in range(2)]
    assert closings[0] == closings[1]
    assert await billing.balance(account) == (9 * USD, USD)
    with pytest.raises(ServiceError) as closed:
        await billing.request(**fields, sequence=3)
    assert (closed.value.error_code, closed.value.error_status) == ("lease_expired", 409)


async def test_a_hundred_at_once_on_money_for_ten_get_exactly_ten(billing: Any) -> None:
    account = await billing.funded("10")
    grants = await asyncio.gather(*(billing.request(account=account, needs_nano=(USD,)) for _ in range(100)))
    assert sum(grant.granted_nano == USD for grant in grants) == 10
    assert sum(grant.granted_nano == 0 for grant in grants) == 90
    assert await billing.balance(account) == (0, 10 * USD)
    report = await billing.audit()
    assert report["ok"], report


async def test_two_replicas_of_billing_share_the_rows_and_never_overspend(billing: Any) -> None:
    await billing.start_replica()
    accounts = [await billing.funded("5") for _ in range(4)]

    async def caller(number: int) -> int:
        account, spender, granted = accounts[number % 4], uuid7(), 0
        for _ in range(10):
            lease = uuid7()
            fields = {"lease": lease, "account": account, "spender": spender}
            grant = await billing.request(**fields, needs_nano=(USD // 4,))
            granted += grant.granted_nano
            if grant.granted_nano:
                await billing.publish(billing.record(account, spender, lease))
            await billing.close(lease, 1, grant.granted_nano // 2)
        return granted

    granted = await asyncio.gather(*(caller(number) for number in range(40)))
    await billing.until_charged(sum(granted) // (USD // 4))
    report = await billing.audit()
    assert report["ok"], report
    for account in accounts:
        assert min(await billing.balance(account)) >= 0


async def test_an_expired_lease_gives_back_what_is_left_and_grants_no_more(billing: Any) -> None:
    account, spender, lease = await billing.funded("10"), uuid7(), uuid7()
    await billing.request(lease=lease, account=account, spender=spender, needs_nano=(USD,))
    billing.clock.advance(59)
    await billing.request(lease=uuid7(), account=await billing.funded("1"))  # a round of the ledger
    assert await billing.balance(account) == (9 * USD, USD)
    billing.clock.advance(2)

    async def returned() -> bool:
        return bool(await billing.balance(account) == (10 * USD, 0))

    await billing.until(returned)
    with pytest.raises(ServiceError) as expired:
        await billing.request(lease=lease, sequence=1, account=account, spender=spender)
    assert expired.value.error_code == "lease_expired"
    report = await billing.audit()
    assert report["ok"], report


async def test_idle_money_elsewhere_is_recalled_before_a_need_is_refused(billing: Any) -> None:
    account = await billing.funded("10")
    idle = await billing.request(account=account, needs_nano=(8 * USD,))
    hungry = await billing.request(account=account, needs_nano=(5 * USD,))
    assert (hungry.granted_nano, hungry.reason, hungry.low) == (0, "recall", True)
    events = await billing.events("billing.lease.recalled.v1", 1)
    assert events[0]["account"] == account
    billing.clock.advance(0.5)
    refused = await billing.request(account=account, needs_nano=(5 * USD,))
    assert refused.reason == "balance"
    low = await billing.events("billing.balance.low.v1", 1)
    assert low[0]["available"] == "2"
    await billing.close(idle.lease, 1, 8 * USD)
    assert (await billing.request(account=account, needs_nano=(5 * USD,))).granted_nano == 5 * USD


async def test_a_budget_stops_a_spender_that_the_wallet_would_pay_for(billing: Any) -> None:
    account, spender = await billing.funded("10"), uuid7()
    fields = {"account": account, "spender": spender, "budget": Budget(2 * USD, "day")}
    lease = uuid7()
    grant = await billing.request(**fields, lease=lease, needs_nano=(2 * USD,), wants_nano=0)
    assert grant.granted_nano == 2 * USD
    await billing.publish(
        billing.record(
            account, spender, lease, quantities={"call": 1}, unit_pico={"call": 2 * 10**12}, cost_nano=2 * USD
        )
    )
    await billing.until_charged(1)
    refused = await billing.request(**fields, needs_nano=(1,))
    assert (refused.granted_nano, refused.reason) == (0, "budget")
    billing.clock.advance(86_400)
    assert (await billing.request(**fields, needs_nano=(USD,))).granted_nano == USD


async def test_an_unknown_account_is_an_empty_wallet(billing: Any) -> None:
    refused = await billing.request(account=uuid7(), needs_nano=(1,))
    assert (refused.granted_nano, refused.reason, refused.available_nano) == (0, "balance", 0)


async def test_ids_that_are_no_uuids_are_refused_by_name(billing: Any) -> None:
    with pytest.raises(ServiceError) as wrong:
        await billing.request(account="me")
    assert (wrong.value.error_status, wrong.value.param) == (400, "account")


async def test_calls_that_travel_together_are_decided_as_if_each_had_come_alone(billing: Any) -> None:
    account, spender, open_lease = await billing.funded("10"), uuid7(), uuid7()
    await billing.request(lease=open_lease, account=account, spender=spender, needs_nano=(4 * USD,))
    requests = [
        LeaseRequest(uuid7(), 0, "relay-1", account, spender, needs_nano=(need,))
        for need in (5 * USD, 2 * USD, -1, USD)
    ]
    closes = (LeaseClose(uuid7(), 1, 0), LeaseClose("me", 1, 0), LeaseClose(open_lease, 1, 4 * USD))
    calls = LeaseCalls((*requests, requests[0]), closes)
    together = (await billing.rpc.call(LEASE_CALLS, calls)).outcomes
    granted = [outcome.granted and outcome.granted.granted_nano for outcome in together[:5]]
    assert granted == [5 * USD, 0, None, USD, 5 * USD]  # the last is the first one's repetition
    refusals = [outcome.refused and (outcome.refused.code, outcome.refused.param) for outcome in together]
    assert refusals[2] == ("invalid_request", "needs_nano")
    assert refusals[5:7] == [("lease_expired", None), ("invalid_request", "lease")]
    assert together[7].closed is not None
    assert together[7].closed.returned_nano == 4 * USD
    assert await billing.balance(account) == (4 * USD, 6 * USD)
    assert (await billing.rpc.call(LEASE_CALLS, calls)).outcomes == together
    assert (await billing.audit())["ok"]
