"""Money in by Stripe: asked for once, credited once, whatever is lost, repeated, reordered or concurrent."""

import asyncio
from typing import Any

import pytest

from common.kit.ids import uuid7

USD = 1_000_000_000


async def _status(till: Any, payment: dict[str, Any]) -> str:
    status: str = (await till.read(payment["id"]))["status"]
    return status


async def test_a_checkout_is_credited_when_stripe_says_it_is_paid(till: Any) -> None:
    account = uuid7()
    answer = await till.order(account, amount="12.34", description="Balance for Ann")
    payment = answer.json()
    assert answer.status_code == 201
    assert (payment["status"], payment["amount"], payment["currency"]) == ("open", "12.34", "USD")
    assert (payment["credits"], payment["price"]) == ("12.34", "1")
    assert payment["url"].startswith(till.base)
    assert await till.billing.balance(account) == (0, 0)
    page = await till.stripe.post(payment["url"], data={"action": "pay", "card": "4242424242424242"})
    assert page.headers["location"] == "http://127.0.0.1:1/thanks"
    deliveries = await till.settled()
    assert {delivery["status"] for delivery in deliveries} == {200}
    assert await till.billing.balance(account) == (12_340_000_000, 0)
    after = await till.read(payment["id"])
    assert (after["status"], after["url"], after["reversed"]) == ("succeeded", None, "0")
    created, posted, completed, succeeded = await till.billing.events("billing", 4)
    assert [each["sequence"] for each in (created, posted, completed, succeeded)] == [1, 2, 3, 4]
    assert (created["type"], created["payment"]) == ("billing.payment.created.v1", payment["id"])
    assert (posted["kind"], posted["debit"], posted["amount"]) == ("payment", "stripe_clearing", "12.34")
    assert (completed["source"], completed["balance"]) == ("stripe_checkout", "12.34")
    assert (succeeded["type"], succeeded["balance"]) == ("billing.payment.succeeded.v1", "12.34")
    assert (await till.billing.audit())["ok"]


async def test_an_invoice_is_credited_when_it_is_paid_and_by_nothing_else(till: Any) -> None:
    account = uuid7()
    payment = await till.ordered(account, method="stripe_invoice", amount="50")
    invoice = await till.ask(f"invoices/{payment['object']}")
    assert (invoice["status"], invoice["amount_due"], invoice["hosted_invoice_url"]) == (
        "open",
        5000,
        payment["url"],
    )
    await till.control(f"pay/{payment['object']}", outcome="decline")
    await till.settled()
    assert await _status(till, payment) == "open"
    assert await till.billing.balance(account) == (0, 0)
    await till.control(f"pay/{payment['object']}")
    await till.settled()
    assert await _status(till, payment) == "succeeded"
    assert await till.billing.balance(account) == (50 * USD, 0)
    events = await till.billing.events("billing", 5)
    assert [event["type"].split(".")[2] for event in events] == [
        "created",
        "failed",
        "posted",
        "completed",
        "succeeded",
    ]
    assert (events[1]["reason"], events[1]["final"]) == ("payment_failed", False)


@pytest.mark.parametrize("mode", ["duplicate", "concurrent", "reorder", "late"])
async def test_a_hundred_webhooks_of_one_payment_credit_once(till: Any, mode: str) -> None:
    await till.start()  # every event goes to both replicas
    account = uuid7()
    payment = await till.ordered(account)
    await till.control("config", webhooks=mode, copies=50, delay_s=0.2)
    await till.control(f"pay/{payment['object']}")
    for _ in range(3):
        await till.settled()
        await till.control("flush")
    deliveries = [each for each in await till.settled() if each["type"] == "checkout.session.completed"]
    assert len(deliveries) >= (100 if mode in ("duplicate", "concurrent") else 2)
    assert {delivery["status"] for delivery in deliveries} == {200}
    assert await till.billing.balance(account) == (10 * USD, 0)
    transfers = await till.billing.rows("SELECT count(*) FROM transfers WHERE kind = 'payment'")
    assert transfers[0][0] == 1
    events = await till.billing.events("billing", 4)
    assert [event["sequence"] for event in events] == [1, 2, 3, 4]
    assert (await till.billing.audit())["ok"]


async def test_a_slow_method_is_credited_when_its_money_arrives(till: Any) -> None:
    account = uuid7()
    payment = await till.ordered(account)
    await till.control(f"pay/{payment['object']}", outcome="async")
    await till.settled()
    assert await _status(till, payment) == "processing"
    assert await till.billing.balance(account) == (0, 0)
    await till.control(f"pay/{payment['object']}")
    await till.settled()
    assert await _status(till, payment) == "succeeded"
    assert await till.billing.balance(account) == (10 * USD, 0)


async def test_success_that_overtakes_completion_stays_success(till: Any) -> None:
    account = uuid7()
    payment = await till.ordered(account)
    await till.control("config", webhooks="reorder", delay_s=3600)
    await till.control(f"pay/{payment['object']}", outcome="async")
    await till.control(f"pay/{payment['object']}")
    await till.control("flush")
    await till.settled()
    assert await _status(till, payment) == "succeeded"
    assert await till.billing.balance(account) == (10 * USD, 0)


@pytest.mark.parametrize(
    ("end", "status", "reason"),
    [
        ("async", "failed", "async_payment_failed"),
        ("expire", "expired", "expired"),
        ("void", "voided", "voided"),
    ],
)
async def test_what_is_never_paid_is_never_credited(till: Any, end: str, status: str, reason: str) -> None:
    account = uuid7()
    payment = await till.ordered(account, method="stripe_invoice" if end == "void" else "stripe_checkout")
    bearer = {"authorization": "Bearer sk_test_any"}
    if end == "async":
        await till.control(f"pay/{payment['object']}", outcome="async")
        await till.control(f"pay/{payment['object']}", outcome="decline")
    elif end == "expire":
        await till.stripe.post(f"/v1/checkout/sessions/{payment['object']}/expire", headers=bearer)
    else:
        await till.stripe.post(f"/v1/invoices/{payment['object']}/void", headers=bearer)
    await till.settled()
    after = await till.read(payment["id"])
    assert (after["status"], after["failure"]) == (status, reason)
    assert await till.billing.balance(account) == (0, 0)
    events = await till.billing.events("billing", 2)
    assert (events[1]["type"], events[1]["reason"], events[1]["final"]) == (
        "billing.payment.failed.v1",
        reason,
        True,
    )


@pytest.mark.parametrize("method", ["stripe_checkout", "stripe_invoice"])
@pytest.mark.parametrize("fault", ["lost", "slow", "error"])
async def test_an_answer_of_stripe_that_goes_wrong_never_makes_two_objects(
    till: Any, fault: str, method: str
) -> None:
    account = uuid7()
    await till.control("config", api=fault, api_times=2, api_delay_s=0.1)
    answers = [await till.order(account, "order-1", method=method) for _ in range(2)]
    kind = "checkout/sessions" if method == "stripe_checkout" else "invoices"
    objects = (await till.ask(kind))["data"]
    if fault == "error":  # Stripe keeps the 500 for the key, as an answer like any other
        assert {answer.status_code for answer in answers} == {503}
        assert objects == []
        return
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert len(objects) == 1
    await till.control(f"pay/{objects[0]['id']}")
    await till.settled()
    assert await till.billing.balance(account) == (10 * USD, 0)


async def test_a_payment_that_a_crash_left_half_made_is_finished_by_the_sweeper(till: Any) -> None:
    account = uuid7()
    await till.control("config", api="lost", api_times=3)  # the SDK asks three times
    answer = await till.order(account, "order-1")
    assert (answer.status_code, answer.json()["code"]) == (503, "service_unavailable")
    objects = (await till.ask("checkout/sessions"))["data"]
    assert len(objects) == 1  # made, and nobody here knows
    till.billing.clock.advance(60)
    payments = till.billing.apps[-1].state.payments
    await payments.sweep()
    again = await till.order(account, "order-1")
    assert (again.status_code, again.json()["status"]) == (201, "open")
    assert [each["id"] for each in (await till.ask("checkout/sessions"))["data"]] == [objects[0]["id"]]


async def test_a_payment_nobody_can_make_is_given_up_and_still_credited_if_it_is_paid(till: Any) -> None:
    account = uuid7()
    await till.control("config", api="lost", api_times=3)
    await till.order(account, "order-1")
    session = (await till.ask("checkout/sessions"))["data"][0]
    till.billing.clock.advance(24 * 3600)
    await till.billing.apps[-1].state.payments.sweep()
    payment = (await till.billing.rows("SELECT id::text, status, failure FROM payments"))[0]
    assert tuple(payment)[1:] == ("failed", "Stripe never answered.")
    await till.control(f"pay/{session['id']}")
    await till.settled()
    assert (await till.read(payment[0]))["status"] == "succeeded"
    assert await till.billing.balance(account) == (10 * USD, 0)


async def test_a_webhook_that_never_comes_is_made_good_by_asking_stripe(till: Any) -> None:
    account = uuid7()
    await till.start(listens=False)
    checkout = await till.ordered(account)
    invoice = await till.ordered(account, method="stripe_invoice", amount="7")
    expired = await till.ordered(account)
    await till.control("config", webhooks="drop")
    for payment in (checkout, invoice):
        await till.control(f"pay/{payment['object']}")
    bearer = {"authorization": "Bearer sk_test_any"}
    await till.stripe.post(f"/v1/checkout/sessions/{expired['object']}/expire", headers=bearer)
    till.billing.clock.advance(700)
    await asyncio.gather(*(app.state.payments.sweep() for app in till.billing.apps[1:] for _ in range(3)))
    assert [await _status(till, each) for each in (checkout, invoice, expired)] == [
        "succeeded",
        "succeeded",
        "expired",
    ]
    assert await till.billing.balance(account) == (17 * USD, 0)
    for event in (await till.ask("events"))["data"]:  # and then they all come after all
        await till.control(f"redeliver/{event['id']}", webhooks="concurrent", copies=3)
    assert {each["status"] for each in await till.settled() if each["status"]} == {200}
    assert await till.billing.balance(account) == (17 * USD, 0)
    assert (await till.billing.audit())["ok"]


async def test_another_amount_than_was_asked_for_is_flagged_and_not_credited(till: Any) -> None:
    account = uuid7()
    payment = await till.ordered(account)
    session = (await till.ask(f"checkout/sessions/{payment['object']}")) | {
        "status": "complete",
        "payment_status": "paid",
    }
    for lie in ({"amount_total": 999_999}, {"currency": "jpy"}):
        await till.control("emit", type="checkout.session.completed", object=session | lie)
    await till.settled()
    after = await till.read(payment["id"])
    assert after["status"] == "mismatched"
    assert "999999 USD" in after["failure"] or "JPY" in after["failure"]
    assert await till.billing.balance(account) == (0, 0)
    events = await till.billing.events("billing", 2)
    assert (events[1]["reason"], events[1]["final"]) == ("amount_mismatch", True)


async def test_the_same_key_is_one_payment_and_other_words_are_a_conflict(till: Any) -> None:
    account = uuid7()
    answers = await asyncio.gather(*(till.order(account, "order-1") for _ in range(10)))
    # while the first runs, Stripe says so to the others, which may be told to ask again
    assert {answer.status_code for answer in answers} <= {201, 503}
    again = await till.order(account, "order-1")
    assert again.status_code == 201
    assert {answer.json()["id"] for answer in answers if answer.status_code == 201} == {again.json()["id"]}
    assert len((await till.ask("checkout/sessions"))["data"]) == 1
    other = await till.order(account, "order-1", amount="11")
    assert (other.status_code, other.json()["code"]) == (409, "conflict")
    stranger = await till.order(uuid7(), "order-1")
    assert stranger.json()["id"] != again.json()["id"]


async def test_what_is_wrong_is_named_and_nothing_is_made(till: Any) -> None:
    account = uuid7()
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"amount": "0"}, "amount"),
        ({"amount": "-1"}, "amount"),
        ({"amount": "1e3"}, "amount"),
        ({"amount": "0.001"}, "amount"),
        ({"amount": "999999999999"}, "amount"),
        ({"currency": "EUR"}, "currency"),
        ({"currency": "dollars"}, "currency"),
        ({"description": ""}, "description"),
        ({"email": "nobody"}, "email"),
        ({"method": "stripe_invoice", "email": ""}, "email"),
        ({"success_url": "javascript:alert(1)"}, "success_url"),
        ({"cancel_url": "http:///x"}, "cancel_url"),
    ]
    for fields, param in wrong:
        answer = await till.order(account, **fields)
        assert (answer.status_code, answer.json().get("param")) == (400, param), fields
    assert (await till.order(account, method="cash")).status_code == 400
    assert (await till.order(account, surprise=1)).status_code == 400
    assert await till.billing.rows("SELECT id FROM payments") == []
    few = await till.order(account, amount="0.10")  # below Stripe's least charge
    assert (few.status_code, few.json()["code"]) == (400, "payment_refused")
    rows = await till.billing.rows("SELECT status FROM payments")
    assert [row[0] for row in rows] == ["failed"]


async def test_payments_are_listed_to_their_owner_alone(till: Any) -> None:
    ann, bob = uuid7(), uuid7()
    made = [(await till.ordered(ann, amount=str(number)))["id"] for number in (1, 2, 3)]
    http, headers = till.billing.http, till.billing.headers(ann)
    first = (await http.get("/api/billing/payments?limit=2", headers=headers)).json()
    assert [payment["id"] for payment in first["data"]] == made[:0:-1]
    rest = (await http.get(f"/api/billing/payments?before={first['next']}", headers=headers)).json()
    assert ([payment["id"] for payment in rest["data"]], rest["next"]) == (made[:1], None)
    others = till.billing.headers(bob)
    assert (await http.get("/api/billing/payments", headers=others)).json() == {"data": [], "next": None}
    assert (await http.get(f"/api/billing/payments/{made[0]}", headers=others)).status_code == 404
    assert (await http.get(f"/api/billing/payments?account={ann}", headers=others)).status_code == 403
    admin = till.billing.headers("admin", "admin")
    everybody = (await http.get("/api/billing/payments?account=all", headers=admin)).json()
    assert len(everybody["data"]) == 3
    assert (await http.get("/api/billing/payments?before=x", headers=headers)).status_code == 400
    assert (await http.get("/api/billing/payments/x", headers=headers)).status_code == 404


async def test_an_admin_orders_for_somebody_and_nobody_else_does(till: Any) -> None:
    ann = uuid7()
    body = {"amount": "10", "method": "stripe_checkout", "account": ann}
    for headers, status in (
        (till.billing.headers("admin", "admin"), 201),
        (till.billing.headers(uuid7()), 403),
    ):
        answer = await till.billing.http.post("/api/billing/payments", json=body, headers=headers)
        assert answer.status_code == status, answer.text
    rows = await till.billing.rows("SELECT account::text FROM payments")
    assert [row[0] for row in rows] == [ann]


async def test_without_a_key_of_stripe_payments_are_off(billing: Any) -> None:
    body = {"amount": "1", "method": "stripe_checkout", "success_url": "http://127.0.0.1/"}
    answer = await billing.http.post("/api/billing/payments", json=body, headers=billing.headers(uuid7()))
    assert (answer.status_code, answer.json()["code"]) == (503, "payments_disabled")
    hook = await billing.http.post("/webhooks/stripe", content=b"{}")
    assert (hook.status_code, hook.json()["code"]) == (503, "payments_disabled")
