"""Money in: once per id, whoever asks how often."""

import asyncio
from typing import Any

from billing.usecases.topups import post_grants
from common.kit.ids import uuid7

USD = 1_000_000_000


async def test_a_topup_is_credited_and_told(billing: Any) -> None:
    account = uuid7()
    response = await billing.topup(account, "12.5")
    body = response.json()
    assert (response.status_code, body["balance"], body["amount"]) == (201, "12.5", "12.5")
    own = await billing.http.get("/api/billing/wallet", headers=billing.headers(account))
    assert own.json() == {
        "account": account, "balance": "12.5", "held": "0", "free": "0", "paid": "12.5", "debt": "0",
        "currency": "USD"
    }  # fmt: skip
    posted, completed = await billing.events("billing", 2)
    assert (posted["type"], posted["sequence"], posted["kind"]) == ("billing.transfer.posted.v1", 1, "topup")
    assert (completed["type"], completed["sequence"]) == ("billing.topup.completed.v1", 2)
    assert (completed["source"], completed["balance"]) == ("test", "12.5")


async def test_fifty_repetitions_at_once_credit_once(billing: Any) -> None:
    account = uuid7()
    answers = await asyncio.gather(*(billing.topup(account, "3", "order-17") for _ in range(50)))
    assert {(answer.status_code, answer.text) for answer in answers} == {(201, answers[0].text)}
    assert await billing.balance(account) == (3 * USD, 0)
    other = await billing.topup(account, "4", "order-17")
    assert (other.status_code, other.json()["code"]) == (409, "conflict")


async def test_a_grant_is_posted_once_by_fifty_starts_of_two_replicas(billing: Any) -> None:
    account = uuid7()
    await billing.start_replica()

    async def find(_email: str) -> str:
        return account

    writers = [app.state.writer for app in billing.apps]
    await asyncio.gather(
        *(post_grants(writers[number % 2], find, {"a@example.com": 10 * USD}) for number in range(50))
    )
    assert await billing.balance(account) == (10 * USD, 0)
    report = await billing.audit()
    assert report["ok"], report


async def test_what_is_wrong_is_named(billing: Any) -> None:
    for amount in ("0", "-1", "1e3", "0.0000000001", "x", "99999999999"):
        response = await billing.topup(uuid7(), amount)
        assert (response.status_code, response.json()["param"]) == (400, "amount"), amount
    assert (await billing.topup("me", "1")).json()["param"] == "account"
    body = {"account": uuid7(), "amount": "1", "surprise": 1}
    admin = billing.headers("admin", "admin")
    assert (await billing.http.post("/api/billing/topups", json=body, headers=admin)).status_code == 400


async def test_only_admins_top_up_and_nobody_without_a_principal(billing: Any) -> None:
    body = {"account": uuid7(), "amount": "1"}
    user = billing.headers(uuid7())
    assert (await billing.http.post("/api/billing/topups", json=body, headers=user)).status_code == 403
    forged = {"x-tollway-principal": user["x-tollway-principal"][:-4] + "AAAA"}
    for headers in ({}, forged):
        for path in ("/api/billing/topups", "/api/billing/audit"):
            assert (await billing.http.post(path, json=body, headers=headers)).status_code == 401
        for path in ("wallet", "usage", f"usage/{uuid7()}", "prices"):
            assert (await billing.http.get(f"/api/billing/{path}", headers=headers)).status_code == 401
