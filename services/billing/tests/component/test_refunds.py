"""Refunds of charges: money back once per id, never more than was charged."""

import asyncio
from typing import Any

from common.contracts.principals import Budget
from common.kit.ids import uuid7

USD = 1_000_000_000
ONE_USD = {"quantities": {"call": 1}, "unit_pico": {"call": 10**12}, "cost_nano": USD}


async def charged(billing: Any, amount: str = "10", **fields: Any) -> tuple[str, Any]:
    """An account and a record of it that cost one dollar."""
    account = await billing.funded(amount)
    record = billing.record(account, fields.pop("spender", uuid7()), **(ONE_USD | fields))
    await billing.publish(record)
    await billing.until_charged(1)
    return account, record


async def refund(billing: Any, record: str, key: str | None = None, **body: Any) -> Any:
    headers = billing.headers("00000000-0000-7000-8000-000000000001", "admin")
    headers |= {"Idempotency-Key": key} if key else {}
    return await billing.http.post(f"/api/billing/usage/{record}/refunds", json=body, headers=headers)


async def test_a_charge_is_refunded_in_parts_and_never_beyond_what_was_charged(billing: Any) -> None:
    account, record = await charged(billing)
    answer = await refund(billing, record.id, amount="0.4", reason="the picture was black")
    assert answer.status_code == 201, answer.text
    first = answer.json()
    assert (first["amount"], first["refunded"], first["balance"]) == ("0.4", "0.4", "9.4")
    over = await refund(billing, record.id, amount="0.600000001")
    assert (over.status_code, over.json()["code"]) == (409, "exceeds_charge")
    rest = (await refund(billing, record.id)).json()
    assert (rest["amount"], rest["refunded"], rest["balance"]) == ("0.6", "1", "10")
    assert (await refund(billing, record.id)).json()["code"] == "exceeds_charge"
    shown = await billing.http.get(f"/api/billing/usage/{record.id}", headers=billing.headers(account))
    assert (shown.json()["charged"], shown.json()["refunded"]) == ("1", "1")
    told = await billing.events("billing.charge.refunded.v1", 2)
    assert [event["amount"] for event in told] == ["0.4", "0.6"]
    assert (told[0]["record"], told[0]["reason"]) == (record.id, "the picture was black")
    assert (await billing.audit())["ok"]


async def test_a_hundred_refunds_at_once_on_two_replicas_give_back_what_there_is(billing: Any) -> None:
    account, record = await charged(billing)
    await billing.start_replica()
    answers = await asyncio.gather(*(refund(billing, record.id, amount="0.1") for _ in range(100)))
    assert sorted(answer.status_code for answer in answers) == [201] * 10 + [409] * 90
    assert await billing.balance(account) == (10 * USD, 0)
    assert (await billing.audit())["ok"]


async def test_the_same_key_refunds_once_and_another_body_is_a_conflict(billing: Any) -> None:
    account, record = await charged(billing)
    answers = [await refund(billing, record.id, "k1", amount="0.4") for _ in range(3)]
    assert len({answer.text for answer in answers}) == 1
    other = await refund(billing, record.id, "k1", amount="0.5")
    assert (other.status_code, other.json()["code"]) == (409, "conflict")
    assert await billing.balance(account) == (9 * USD + USD * 4 // 10, 0)


async def test_what_was_never_collected_is_nobodys_money(billing: Any) -> None:
    account, record = await charged(billing, "0.25")
    answer = (await refund(billing, record.id)).json()
    assert (answer["amount"], answer["balance"]) == ("0.25", "0.25")
    rows = await billing.rows("SELECT name, credits - debits FROM accounts WHERE kind = 'platform'")
    platform = {row[0]: row[1] for row in rows}
    assert (platform["revenue"], platform["uncollected"]) == (0, 0)
    assert await billing.balance(account) == (USD // 4, 0)
    assert (await billing.audit())["ok"]


async def test_free_money_comes_back_last_and_as_free_money(billing: Any) -> None:
    account = await billing.funded("10")
    await billing.change("UPDATE customers SET free_nano = 300000000, allowance_until = '2999-01-01'")
    record = billing.record(account, uuid7(), **ONE_USD)
    await billing.publish(record)
    await billing.until_charged(1)
    assert (await refund(billing, record.id, amount="0.8")).json()["free"] == "0.1"
    assert (await refund(billing, record.id)).json()["free"] == "0.2"
    assert (await billing.rows("SELECT free_nano FROM customers"))[0][0] == 300_000_000
    assert (await billing.audit())["ok"]


async def test_a_refund_gives_no_budget_back(billing: Any) -> None:
    spender = uuid7()
    account, record = await charged(billing, spender=spender)
    await refund(billing, record.id)
    grant = await billing.request(
        account=account, spender=spender, budget=Budget(USD), needs_nano=(1,), wants_nano=0
    )
    assert (grant.granted_nano, grant.reason) == (0, "budget")


async def test_a_refund_that_cannot_be_is_refused_and_changes_nothing(billing: Any) -> None:
    account, record = await charged(billing)
    for body, param in (
        ({"amount": "0"}, "amount"),
        ({"amount": "-1"}, "amount"),
        ({"amount": "0.0000000001"}, "amount"),
        ({"amount": "99999999999"}, "amount"),
        ({"amount": "a lot"}, "amount"),
        ({"reason": "x" * 256}, "reason"),
    ):
        answer = await refund(billing, record.id, **body)
        assert (answer.status_code, answer.json()["param"]) == (400, param), body
    assert (await refund(billing, record.id, surplus=1)).status_code == 400
    assert (await refund(billing, uuid7())).status_code == 404
    assert (await refund(billing, "nothing")).status_code == 404
    path = f"/api/billing/usage/{record.id}/refunds"
    own = await billing.http.post(path, json={}, headers=billing.headers(account))
    assert own.status_code == 403
    assert await billing.balance(account) == (9 * USD, 0)
