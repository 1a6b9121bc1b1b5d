"""Refunds through HTTP with a real billing: never above what was captured, once per key, shares right."""

import asyncio
from collections import Counter
from typing import Any

USD = 1_000_000_000


async def refund(shop: Any, charge: str, amount: str | None, key: str, **fields: Any) -> Any:
    body = fields | ({} if amount is None else {"amount": amount})
    return await shop.act(f"{charge}/refunds", body, key)


async def test_refunds_take_from_app_and_platform_and_are_told(shop: Any) -> None:
    charge = await shop.charge("10")
    told = await refund(shop, charge["id"], "4", "r1", reason="broken")
    assert told.status_code == 201, told.text
    body = told.json()
    assert (body["object"], body["status"], body["amount"]) == ("refund", "succeeded", "4")
    assert (body["charge"], body["fee_refunded"], body["reason"]) == (charge["id"], "0.2", "broken")
    assert (await refund(shop, charge["id"], "4", "r1", reason="broken")).json() == body
    seen = (await shop.get(f"/{charge['id']}")).json()
    assert (seen["status"], seen["amount_refunded"], seen["fee"]) == ("succeeded", "4", "0.3")
    rest = (await refund(shop, charge["id"], None, "r2")).json()
    assert rest["amount"] == "6"
    listed = (await shop.get(f"/{charge['id']}/refunds")).json()
    assert [one["id"] for one in listed["data"]] == [body["id"], rest["id"]]
    assert await shop.ledger.balance(shop.person.account) == "100"
    assert await shop.ledger.owed(f"app_payable:{shop.app.client_id}") == 0
    assert await shop.ledger.owed("fees") == 0
    events = await shop.oauth.events(3)
    assert [(event["sequence"], event.get("refund_amount")) for event in events] == [
        (1, None),
        (2, "4"),
        (3, "6"),
    ]
    await shop.ledger.prove()


async def test_many_refunds_at_once_give_back_no_more_than_was_captured(shop: Any) -> None:
    await shop.oauth.start_replica()
    charge = await shop.charge("10")
    answers = await asyncio.gather(*(refund(shop, charge["id"], "3", f"r{n}") for n in range(20)))
    assert Counter(answer.status_code for answer in answers) == {201: 3, 409: 17}
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"exceeds_capture"}
    assert await shop.ledger.balance(shop.person.account) == "99"
    await shop.ledger.prove()


async def test_one_key_at_once_refunds_once_and_means_one_body(shop: Any) -> None:
    await shop.oauth.start_replica()
    charge = await shop.charge("10")
    answers = await asyncio.gather(*(refund(shop, charge["id"], "3", "same") for _ in range(20)))
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 201}) == 1
    assert {answer.json().get("code") for answer in answers} <= {None, "idempotency_in_progress"}
    other = await refund(shop, charge["id"], "2", "same")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    assert await shop.ledger.balance(shop.person.account) == "93"


async def test_a_refund_needs_a_key_and_an_amount_that_can_be(shop: Any) -> None:
    charge = await shop.charge("10")
    assert (await shop.act(f"{charge['id']}/refunds", {"amount": "1"})).json()["param"] == "Idempotency-Key"
    for amount in ("0", "-1", "x", "0.0000000001"):
        refused = await refund(shop, charge["id"], amount, "k")
        assert (refused.status_code, refused.json()["param"]) == (400, "amount")
    refused = await refund(shop, charge["id"], "10.000000001", "k")
    assert (refused.status_code, refused.json()["code"]) == (409, "exceeds_capture")


async def test_the_owner_refunds_what_a_person_was_charged_who_has_left(shop: Any) -> None:
    charge = await shop.charge("10")
    await shop.oauth.rows("UPDATE grants SET revoked_at = now(), revoked_by = 'user'")
    path = f"/api/oauth/apps/{shop.app.client_id}/charges/{charge['id']}/refunds"
    headers = shop.oauth.owner(None, None, "admin") | {"idempotency-key": "k"}
    told = await shop.oauth.http.post(path, json={}, headers=headers)
    assert told.status_code == 201, told.text
    assert await shop.ledger.balance(shop.person.account) == "100"
    other = await shop.oauth.http.post(path, json={}, headers=shop.oauth.owner() | {"idempotency-key": "l"})
    assert other.status_code == 404
