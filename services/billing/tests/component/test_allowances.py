"""The free allowance through the running ledger: given, spent first, renewed, taken back."""

import asyncio
from typing import Any

from common.contracts.leases import LeaseGrant
from common.kit.ids import uuid7

USD = 1_000_000_000
COST = 210_000  # of a record as the conftest makes it
DAY_S = 86_400.0
HALF_DAY_S = 43_200.0  # the tests begin at noon


def plans(base: str = "1", vip: str = "5", period: str = "day", zone: str = "UTC") -> list[dict[str, Any]]:
    return [
        {"name": "free", "allowance": {"amount": base, "period": period, "time_zone": zone}},
        {
            "name": "vip",
            "rank": 1,
            "rules": [{"amount": "20", "gives": "1 month"}],
            "allowance": {"amount": vip, "period": period, "time_zone": zone},
        },
    ]


async def put_plans(billing: Any, specs: Any, free: str = "1") -> None:
    """In force on the newest replica, which shows `free` to somebody it never met."""
    headers = billing.headers("admin", "admin")
    answer = await billing.http.put("/api/billing/plans", json={"plans": specs}, headers=headers)
    assert answer.status_code == 200, answer.text

    async def followed() -> bool:
        return bool((await wallet(billing, uuid7()))["free"] == free)

    await billing.until(followed)


async def wallet(billing: Any, account: str) -> Any:
    return (await billing.http.get("/api/billing/wallet", headers=billing.headers(account))).json()


async def kinds(billing: Any, account: str) -> list[str]:
    """The account's transfers of the allowance, in order."""
    rows = await billing.rows(
        "SELECT kind FROM transfers WHERE customer = CAST(:account AS uuid) AND kind LIKE 'allowance%'"
        " ORDER BY position",
        account=account,
    )
    return [row[0] for row in rows]


async def label(billing: Any, account: str) -> int:
    rows = await billing.rows(
        "SELECT free_nano FROM customers WHERE account = CAST(:account AS uuid)", account=account
    )
    return int(rows[0][0])


async def granted(billing: Any, account: str, need_nano: int, **fields: Any) -> LeaseGrant:
    grant: LeaseGrant = await billing.request(
        account=account, needs_nano=(need_nano,), wants_nano=need_nano, **fields
    )
    return grant


async def test_a_user_without_money_is_served_from_the_allowance_and_then_refused(billing: Any) -> None:
    await put_plans(billing, plans(base="0.001"), free="0.001")
    account, spender = uuid7(), uuid7()
    assert (await wallet(billing, account))["balance"] == "0.001"
    lease = uuid7()
    grant = await granted(billing, account, 400_000, spender=spender, lease=lease)
    assert grant.granted_nano == 400_000
    assert await billing.balance(account) == (600_000, 400_000)
    await billing.publish(billing.record(account, spender, lease))
    await billing.until_charged(1)
    seen = await wallet(billing, account)
    assert (seen["balance"], seen["held"], seen["free"], seen["paid"]) == (
        "0.0006", "0.00019", "0.00079", "0",
    )  # fmt: skip
    refused = await granted(billing, account, USD, spender=spender)
    assert (refused.granted_nano, refused.reason) == (0, "balance")
    report = await billing.audit()
    assert report["ok"], report


async def test_free_money_is_spent_before_paid_money_and_marked_on_the_record(billing: Any) -> None:
    await put_plans(billing, plans(base="0.0003"), free="0.0003")
    account, spender, lease = await billing.funded("10"), uuid7(), uuid7()
    await granted(billing, account, USD, spender=spender, lease=lease)
    await billing.publish(*(billing.record(account, spender, lease) for _ in range(3)))
    await billing.until_charged(3)
    usage = await billing.http.get("/api/billing/usage", headers=billing.headers(account))
    assert sorted((item["free"], item["charged"]) for item in usage.json()["data"]) == [
        ("0", "0.00021"), ("0.00009", "0.00021"), ("0.00021", "0.00021"),
    ]  # fmt: skip
    events = await billing.events("usage", 3)
    assert [event["free"] for event in events] == ["0.00021", "0.00009", "0"]
    seen = await wallet(billing, account)
    assert (seen["free"], seen["paid"]) == ("0", "9.99967")
    one = next(item for item in usage.json()["data"] if item["free"] == "0.00009")
    detail = await billing.http.get(f"/api/billing/usage/{one['id']}", headers=billing.headers(account))
    assert any("free allowance: 0.00009 USD" in line for line in detail.json()["explanation"])
    report = await billing.audit()
    assert report["ok"], report


async def test_what_is_left_expires_when_the_next_period_begins(billing: Any) -> None:
    await put_plans(billing, plans())
    account, spender, lease = uuid7(), uuid7(), uuid7()
    await granted(billing, account, 400_000, spender=spender, lease=lease)
    await billing.publish(billing.record(account, spender, lease))
    await billing.until_charged(1)
    assert (await billing.close(lease, 1, 400_000 - COST)).returned_nano == 400_000 - COST
    assert await label(billing, account) == USD - COST
    await granted(billing, account, 1000)
    assert await kinds(billing, account) == ["allowance"]
    billing.clock.advance(HALF_DAY_S)
    assert (await wallet(billing, account))["free"] == "1"  # as a reservation would find it
    await granted(billing, account, 1000)
    assert await kinds(billing, account) == ["allowance", "allowance_expire", "allowance"]
    assert await label(billing, account) == USD
    report = await billing.audit()
    assert report["ok"], report


async def test_what_is_held_at_the_periods_end_counts_against_the_next(billing: Any) -> None:
    await put_plans(billing, plans())
    account, spender, lease = uuid7(), uuid7(), uuid7()
    await granted(billing, account, 700_000_000, spender=spender, lease=lease)
    billing.clock.advance(HALF_DAY_S - 20)
    await granted(billing, account, 0, spender=spender, lease=lease, sequence=1)
    billing.clock.advance(20)
    await granted(billing, account, 1000)
    wallet_nano, held_nano = await billing.balance(account)
    assert (wallet_nano + held_nano, await label(billing, account)) == (USD, USD)


async def test_an_allowance_that_is_withdrawn_is_taken_as_it_comes_back(billing: Any) -> None:
    await put_plans(billing, plans())
    account, spender, lease = uuid7(), uuid7(), uuid7()
    await granted(billing, account, 700_000_000, spender=spender, lease=lease)
    await put_plans(billing, [], free="0")
    billing.clock.advance(HALF_DAY_S - 20)
    await granted(billing, account, 0, spender=spender, lease=lease, sequence=1)
    billing.clock.advance(20)
    assert (await granted(billing, account, 1000)).granted_nano == 0
    assert (await billing.balance(account), await label(billing, account)) == ((0, 700_000_000), 700_000_000)
    await billing.close(lease, 2, 700_000_000)
    assert (await wallet(billing, account))["balance"] == "0"
    assert (await granted(billing, account, 1000)).granted_nano == 0
    assert (await billing.balance(account), await label(billing, account)) == ((0, 0), 0)
    report = await billing.audit()
    assert report["ok"], report


async def test_two_replicas_do_not_give_it_twice(billing: Any) -> None:
    await billing.start_replica()
    await put_plans(billing, plans())
    account = uuid7()

    async def everywhere() -> bool:
        return all(app.state.wallets._ledger.allowances for app in billing.apps)

    await billing.until(everywhere)
    await asyncio.gather(*(granted(billing, account, 1000) for _ in range(40)))
    assert await kinds(billing, account) == ["allowance"]
    billing.clock.advance(HALF_DAY_S)
    await asyncio.gather(*(granted(billing, account, 1000) for _ in range(40)))
    assert (await kinds(billing, account)).count("allowance") == 2
    assert await label(billing, account) == USD
    report = await billing.audit()
    assert report["ok"], report


async def test_a_new_member_has_the_plans_allowance_at_once_and_a_former_one_that_of_all(
    billing: Any,
) -> None:
    await put_plans(billing, plans())
    account = uuid7()
    await granted(billing, account, 1000)
    assert await label(billing, account) == USD
    await billing.topup(account, "20")
    assert (await wallet(billing, account))["free"] == "5"
    await granted(billing, account, 1000)
    assert await label(billing, account) == 5 * USD
    billing.clock.advance(32 * DAY_S)

    async def expired() -> bool:
        rows = await billing.rows("SELECT plan FROM customers WHERE plan <> ''")
        return not rows

    await billing.until(expired)
    seen = await wallet(billing, account)
    assert (seen["free"], seen["paid"]) == ("1", "20")


async def test_a_period_is_one_of_the_plans_own_clock(billing: Any) -> None:
    await put_plans(billing, plans(zone="Asia/Shanghai"))  # midnight there is 16:00 UTC, four hours ahead
    account = uuid7()
    await granted(billing, account, 1000)
    billing.clock.advance(4 * 3600 - 1)
    await granted(billing, account, 1000)
    assert len(await kinds(billing, account)) == 1
    billing.clock.advance(1)
    await granted(billing, account, 1000)
    assert (await kinds(billing, account)).count("allowance") == 2


async def test_an_account_that_nobody_uses_costs_nothing(billing: Any) -> None:
    await put_plans(billing, plans())
    account = await billing.funded("1")
    for _ in range(3):
        billing.clock.advance(DAY_S)
        assert (await wallet(billing, account))["free"] == "1"
    assert await kinds(billing, account) == []


async def test_the_audit_finds_a_label_that_is_more_than_the_money(billing: Any) -> None:
    await put_plans(billing, plans())
    account = uuid7()
    await granted(billing, account, 1000)
    await billing.change("UPDATE customers SET free_nano = free_nano + 1")
    report = await billing.audit()
    assert not report["ok"]
    assert not report["free"]["ok"]
    assert account in report["free"]["detail"]
