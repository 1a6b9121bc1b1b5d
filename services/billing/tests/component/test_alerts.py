"""The balance alert: once for each time the money falls below, decided with the charge itself."""

import asyncio
from typing import Any

import msgspec

from common.kit.ids import uuid7

Billing = Any
USD = 1_000_000_000


async def put(billing: Billing, account: str, low_balance: object) -> Any:
    return await billing.http.put(
        "/api/billing/alerts", json={"low_balance": low_balance}, headers=billing.headers(account)
    )


async def alerts(billing: Billing, account: str) -> list[dict[str, Any]]:
    query = {"stream": "billing", "limit": 500}
    response = await billing.http.get("/events", params=query, headers=billing.headers(account))
    events = msgspec.json.decode(response.content)
    return [event["data"] for event in events if event["type"] == "billing.balance.threshold.v1"]


async def charge(billing: Billing, account: str, usd: int) -> None:
    """A request of so many whole dollars, paid from the wallet."""
    before = (await billing.rows("SELECT count(*) FROM usage_records"))[0][0]
    tokens = {"input": usd * 1_000_000}
    record = billing.record(account, uuid7(), quantities=tokens, unit_pico={"input": 1_000_000})
    await billing.publish(msgspec.structs.replace(record, cost_nano=usd * USD))
    await billing.until_charged(before + 1)


async def test_a_crossing_is_told_once_and_again_after_money_came(billing: Billing) -> None:
    account = await billing.funded("10")
    assert (await put(billing, account, "5")).json()["low_balance"] == "5"
    await charge(billing, account, 5)
    assert await alerts(billing, account) == []
    await charge(billing, account, 1)
    await charge(billing, account, 1)
    told = await alerts(billing, account)
    assert [(event["threshold"], event["balance"], event["held"]) for event in told] == [("5", "4", "0")]
    await billing.topup(account, "2")
    await charge(billing, account, 1)
    assert [event["balance"] for event in await alerts(billing, account)] == ["4", "4"]


async def test_money_that_is_only_held_is_not_gone(billing: Billing) -> None:
    account = await billing.funded("10")
    await put(billing, account, "5")
    lease = uuid7()
    grant = await billing.request(
        account=account, lease=lease, needs_nano=(9 * USD,), wants_nano=9 * USD, minimum_nano=1
    )
    assert grant.granted_nano == 9 * USD
    await billing.close(lease, 1, 9 * USD)
    assert await alerts(billing, account) == []


async def test_of_many_charges_at_once_one_crosses(billing: Billing) -> None:
    await billing.start_replica()
    account = await billing.funded("20")
    await put(billing, account, "10.5")
    tokens = {"input": 1_000_000}
    records = [
        billing.record(account, uuid7(), quantities=tokens, unit_pico={"input": 1_000_000}, cost_nano=USD)
        for _ in range(15)
    ]
    await asyncio.gather(*(billing.publish(record) for record in records))
    await billing.until_charged(15)
    assert [event["balance"] for event in await alerts(billing, account)] == ["10"]
    assert (await billing.audit())["ok"]


async def test_an_alert_that_is_set_below_the_threshold_is_told_at_once(billing: Billing) -> None:
    account = uuid7()
    await put(billing, account, "1")
    await put(billing, account, "1.0")
    assert len(await alerts(billing, account)) == 1
    await put(billing, account, None)
    await billing.topup(account, "1")
    await charge(billing, account, 1)
    assert len(await alerts(billing, account)) == 1
    shown = await billing.http.get("/api/billing/alerts", headers=billing.headers(account))
    assert shown.json() == {"account": account, "low_balance": None, "currency": "USD"}


async def test_an_alert_is_ones_own_and_a_real_amount(billing: Billing) -> None:
    account, other = uuid7(), uuid7()
    for bad in ("0", "-1", "x", "0.0000000001", "99999999999999", 5, ""):
        assert (await put(billing, account, bad)).status_code == 400, bad
    path = f"/api/billing/alerts?account={other}"
    for method in ("GET", "PUT"):
        refused = await billing.http.request(
            method, path, json={"low_balance": "1"}, headers=billing.headers(account)
        )
        assert refused.status_code == 403
    set_ = await billing.http.put(path, json={"low_balance": "1"}, headers=billing.headers("admin", "admin"))
    assert set_.json()["account"] == other
