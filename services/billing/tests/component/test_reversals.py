"""Payments that go back: to the nano, once, never below zero, and never a free allowance."""

import asyncio
from typing import Any

import pytest

from common.kit.ids import uuid7

USD = 1_000_000_000


async def _transfers(till: Any, *kinds: str) -> list[tuple[str, str, str, int]]:
    rows = await till.billing.rows(
        "SELECT t.kind, d.name, c.name, t.amount FROM transfers AS t"
        " JOIN accounts AS d ON d.id = t.debit_account JOIN accounts AS c ON c.id = t.credit_account"
        " WHERE t.kind = ANY(CAST(:kinds AS text[])) ORDER BY t.position",
        kinds=list(kinds),
    )
    return [(row[0], row[1].partition(":")[0], row[2].partition(":")[0], row[3]) for row in rows]


async def _debt(till: Any, account: str) -> int:
    query = "SELECT debt_nano FROM customers WHERE account = CAST(:account AS uuid)"
    debt: int = (await till.billing.rows(query, account=account))[0][0]
    return debt


async def _spend(till: Any, account: str, amount_nano: int) -> None:
    """Money that a lease holds, as a running request would."""
    grant = await till.billing.request(account=account, needs_nano=(amount_nano,))
    assert grant.granted_nano == amount_nano


async def test_a_refund_leaves_the_wallet_before_stripe_is_asked_and_is_confirmed_by_it(till: Any) -> None:
    account = uuid7()
    payment = await till.paid(account)
    answer = await till.refund(payment["id"], amount="4")
    assert answer.status_code == 201, answer.text
    refund = answer.json()
    assert (refund["kind"], refund["amount"], refund["credits"]) == ("refund", "4", "4")
    await till.settled()
    assert await till.billing.balance(account) == (6 * USD, 0)
    after = await till.read(payment["id"])
    assert (after["status"], after["reversed"]) == ("succeeded", "4")
    assert [each["status"] for each in after["reversals"]] == ["succeeded"]
    assert await _transfers(till, "payment_refund") == [
        ("payment_refund", "wallet", "stripe_clearing", 4 * USD)
    ]
    at_stripe = (await till.ask("refunds"))["data"]
    assert [(each["amount"], each["metadata"]["tollway_refund"]) for each in at_stripe] == [
        (400, refund["id"])
    ]
    told = (await till.billing.events("billing", 7))[4:]
    assert [(event["type"], event.get("status")) for event in told] == [
        ("billing.transfer.posted.v1", None),
        ("billing.payment.refunded.v1", "pending"),
        ("billing.payment.refunded.v1", "succeeded"),
    ]
    assert [event["sequence"] for event in told] == [5, 6, 7]
    assert (await till.billing.audit())["ok"]


async def test_fifty_repetitions_of_a_refund_over_two_replicas_are_one(till: Any) -> None:
    account = uuid7()
    payment = await till.paid(account)
    first = till.billing.http
    await till.start()
    answers = []
    for number in range(50):
        till.billing.http, first = first, till.billing.http
        answers.append(till.refund(payment["id"], "refund-1", amount="3"))
        del number
    results = await asyncio.gather(*answers)
    assert {answer.status_code for answer in results} == {201}
    assert len({answer.json()["id"] for answer in results}) == 1
    await till.settled()
    assert await till.billing.balance(account) == (7 * USD, 0)
    assert len((await till.ask("refunds"))["data"]) == 1
    other = await till.refund(payment["id"], "refund-1", amount="2")
    assert (other.status_code, other.json()["code"]) == (409, "conflict")


async def test_a_refund_repeated_days_later_is_not_asked_for_again(till: Any) -> None:
    payment = await till.paid(uuid7())
    first = await till.refund(payment["id"], "refund-1", amount="3")
    await till.settled()
    await till.stripe.post(f"{till.base.removesuffix('/stripe')}/_sim/reset")  # what was recorded
    till.billing.clock.advance(2 * 86_400)
    again = await till.refund(payment["id"], "refund-1", amount="3")
    assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])
    asked = (await till.stripe.get(f"{till.base.removesuffix('/stripe')}/_sim/requests")).json()
    assert not [request for request in asked if request["path"].endswith("/v1/refunds")]


async def test_concurrent_refunds_never_exceed_the_payment(till: Any) -> None:
    account = uuid7()
    payment = await till.paid(account)
    await till.billing.topup(account, "100")
    answers = await asyncio.gather(*(till.refund(payment["id"], amount="3") for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [409] * 7
    await till.settled()
    assert await till.billing.balance(account) == (101 * USD, 0)
    rest = await till.refund(payment["id"])
    assert (rest.status_code, rest.json()["amount"]) == (201, "1")
    assert (await till.read(payment["id"]))["reversed"] == "10"
    assert (await till.refund(payment["id"])).status_code == 409
    assert sum(each["amount"] for each in (await till.ask("refunds"))["data"]) == 1000


@pytest.mark.parametrize("fault", ["lost", "error"])
async def test_a_refund_whose_answer_is_lost_is_made_once_and_finished_by_the_sweeper(
    till: Any, fault: str
) -> None:
    account = uuid7()
    payment = await till.paid(account)
    await till.control("config", api=fault, api_times=20, webhooks="drop")
    answer = await till.refund(payment["id"], amount="4")
    assert (answer.status_code, answer.json()["status"]) == (201, "pending")
    assert await till.billing.balance(account) == (6 * USD, 0)
    await till.control("config", webhooks="drop")
    till.billing.clock.advance(3700)
    await till.billing.apps[-1].state.reversals.sweep()
    till.billing.clock.advance(3700)
    await till.billing.apps[-1].state.reversals.sweep()
    refunds = (await till.ask("refunds"))["data"]
    assert len(refunds) <= 1
    assert await till.billing.balance(account) == (6 * USD, 0)
    if fault == "lost":
        assert [each["status"] for each in (await till.read(payment["id"]))["reversals"]] == ["succeeded"]


async def test_a_refund_that_stripe_refuses_is_returned(till: Any) -> None:
    account = uuid7()
    payment = await till.paid(account)
    await till.control("config", webhooks="drop")
    await till.control(f"dispute/{payment['object']}")  # nobody told us: Stripe refuses refunds of it
    answer = await till.refund(payment["id"], amount="4")
    assert (answer.status_code, answer.json()["code"]) == (400, "payment_refused")
    assert await till.billing.balance(account) == (10 * USD, 0)
    after = await till.read(payment["id"])
    assert (after["reversed"], [each["status"] for each in after["reversals"]]) == ("0", ["failed"])
    moved = await _transfers(till, "payment_refund", "payment_refund_reversed")
    assert [(kind, amount) for kind, _, _, amount in moved] == [
        ("payment_refund", 4 * USD),
        ("payment_refund_reversed", 4 * USD),
    ]


async def test_an_admin_refunds_no_more_than_the_wallet_has_and_no_free_allowance(till: Any) -> None:
    account = uuid7()
    payment = await till.paid(account)
    await _spend(till, account, 7 * USD)
    answer = await till.refund(payment["id"], amount="4")
    assert (answer.status_code, answer.json()["code"]) == (402, "insufficient_quota")
    assert await till.billing.balance(account) == (3 * USD, 7 * USD)
    assert (await till.read(payment["id"]))["reversed"] == "0"
    await till.billing.change("UPDATE customers SET free_nano = 8000000000")
    answer = await till.refund(payment["id"], amount="3")
    assert (answer.status_code, answer.json()["code"]) == (402, "insufficient_quota")
    assert (await till.refund(payment["id"], amount="2")).status_code == 201
    assert await till.billing.balance(account) == (1 * USD, 7 * USD)
    assert (await till.ask("refunds"))["data"][0]["amount"] == 200


async def test_a_refund_made_at_stripe_takes_what_is_there_and_the_rest_is_debt(till: Any) -> None:
    account = uuid7()
    payment = await till.paid(account)
    await _spend(till, account, 7 * USD)
    intent = (await till.ask(f"checkout/sessions/{payment['object']}"))["payment_intent"]
    bearer = {"authorization": "Bearer sk_test_any"}
    await till.control("config", webhooks="concurrent", copies=20)
    await till.stripe.post("/v1/refunds", data={"payment_intent": intent}, headers=bearer)
    assert {each["status"] for each in await till.settled()} == {200}
    assert await till.billing.balance(account) == (0, 7 * USD)
    assert await _debt(till, account) == 7 * USD
    assert await _transfers(till, "payment_refund") == [
        ("payment_refund", "wallet", "stripe_clearing", 3 * USD),
        ("payment_refund", "uncollected", "stripe_clearing", 7 * USD),
    ]
    reversal = (await till.read(payment["id"]))["reversals"][0]
    assert (reversal["status"], reversal["credits"], reversal["uncollected"]) == ("succeeded", "10", "7")
    wallet = await till.billing.http.get("/api/billing/wallet", headers=till.billing.headers(account))
    assert (wallet.json()["balance"], wallet.json()["debt"]) == ("0", "7")
    await till.billing.topup(account, "1")  # a gift stays a gift
    assert await till.billing.balance(account) == (1 * USD, 7 * USD)
    await till.control("config")
    await till.paid(account, amount="9")  # money that comes in pays the debt first
    assert await till.billing.balance(account) == (3 * USD, 7 * USD)
    assert await _debt(till, account) == 0
    assert await _transfers(till, "debt_paid") == [("debt_paid", "wallet", "uncollected", 7 * USD)]
    assert (await till.billing.audit())["ok"]


@pytest.mark.parametrize("method", ["stripe_checkout", "stripe_invoice"])
@pytest.mark.parametrize("end", ["won", "lost"])
async def test_a_chargeback_is_taken_at_once_and_returned_when_it_is_won(
    till: Any, end: str, method: str
) -> None:
    account = uuid7()
    payment = await till.paid(account, method=method)
    await _spend(till, account, 4 * USD)
    await till.control("config", webhooks="duplicate")
    dispute = await till.control(f"dispute/{payment['object']}")
    await till.settled()
    assert await till.billing.balance(account) == (0, 4 * USD)
    assert await _debt(till, account) == 4 * USD
    await till.control(f"close/{dispute['id']}", status=end)
    assert {each["status"] for each in await till.settled()} == {200}
    reversal = (await till.read(payment["id"]))["reversals"][0]
    assert (reversal["kind"], reversal["status"], reversal["credits"]) == ("chargeback", end, "10")
    if end == "won":
        assert await till.billing.balance(account) == (6 * USD, 4 * USD)
        assert await _debt(till, account) == 0
        assert (await till.read(payment["id"]))["reversed"] == "0"
    else:
        assert await till.billing.balance(account) == (0, 4 * USD)
        assert await _debt(till, account) == 4 * USD
    told = [
        event
        for event in await till.billing.events("billing", 11 if end == "won" else 9)
        if event["type"] == "billing.payment.disputed.v1"
    ]
    assert [(event["status"], event["credits"], event["uncollected"]) for event in told] == [
        ("opened", "10", "4"),
        (end, "10", "4"),
    ]
    assert (await till.billing.audit())["ok"]


async def test_events_of_a_chargeback_in_reverse_order_end_alike(till: Any) -> None:
    account = uuid7()
    payment = await till.ordered(account)
    await till.start()
    await till.control("config", webhooks="reorder", delay_s=3600)
    await till.control(f"pay/{payment['object']}")
    dispute = await till.control(f"dispute/{payment['object']}", amount=250)
    await till.control(f"close/{dispute['id']}", status="lost")
    await till.control("flush")  # the dispute's end arrives first, before the payment itself
    assert {each["status"] for each in await till.settled() if each["attempt"] == 1} <= {200, 503}
    after = await till.read(payment["id"])
    assert (after["status"], after["reversed"]) == ("succeeded", "2.5")
    assert [each["status"] for each in after["reversals"]] == ["lost"]
    assert await till.billing.balance(account) == (7_500_000_000, 0)
    assert (await till.billing.audit())["ok"]


async def test_parts_that_go_back_one_by_one_are_the_whole_to_the_nano(till: Any) -> None:
    admin = till.billing.headers("admin", "admin")
    ratio = {"currency": "CNY", "price": "7.3"}
    assert (
        await till.billing.http.put("/api/billing/recharge", json=ratio, headers=admin)
    ).status_code == 200
    account = uuid7()
    payment = await till.paid(account, amount="10.00", currency="CNY")
    assert await till.billing.balance(account) == (1_369_863_014, 0)  # 10 / 7.3, half to even
    for amount in ("3.33", "3.33", "3.33", "0.01"):
        assert (await till.refund(payment["id"], amount=amount)).status_code == 201
        await till.settled()
    assert await till.billing.balance(account) == (0, 0)
    assert (await till.read(payment["id"]))["reversed"] == "10"
    assert sum(amount for _, _, _, amount in await _transfers(till, "payment_refund")) == 1_369_863_014


async def test_what_was_never_credited_cannot_go_back(till: Any) -> None:
    account = uuid7()
    payment = await till.ordered(account)
    answer = await till.refund(payment["id"])
    assert (answer.status_code, answer.json()["code"]) == (409, "payment_not_credited")
    assert (await till.refund(uuid7())).status_code == 404
    headers = till.billing.headers(account)
    path = f"/api/billing/payments/{payment['id']}/refunds"
    assert (await till.billing.http.post(path, json={"reason": "x"}, headers=headers)).status_code == 403
    paid = await till.paid(account)
    for body, param in (
        ({"amount": "0"}, "amount"),
        ({"amount": "11"}, "amount"),
        ({"reason": ""}, "reason"),
    ):
        answer = await till.refund(paid["id"], **body)
        assert (answer.status_code in (400, 409), answer.json()["param"]) == (True, param), body
    assert await till.billing.balance(account) == (10 * USD, 0)


async def test_what_goes_back_of_payments_that_are_not_ours_is_let_be(till: Any) -> None:
    bearer = {"authorization": "Bearer sk_test_any"}
    foreign = await till.stripe.post(
        "/v1/checkout/sessions",
        data={
            "mode": "payment",
            "success_url": "http://127.0.0.1:1/",
            "line_items[0][quantity]": "1",
            "line_items[0][price_data][currency]": "usd",
            "line_items[0][price_data][unit_amount]": "500",
            "line_items[0][price_data][product_data][name]": "A cup",
        },
        headers=bearer,
    )
    session = foreign.json()["id"]
    await till.control(f"pay/{session}")
    await till.control(f"dispute/{session}")
    assert {each["status"] for each in await till.settled()} == {200}
    assert await till.billing.rows("SELECT id FROM transfers") == []
