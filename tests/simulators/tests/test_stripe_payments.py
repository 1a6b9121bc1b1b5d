"""Checkout, invoices, refunds and disputes as the official SDK sees them."""

import re
import time
from decimal import Decimal
from typing import Any

import pytest
import stripe

from simulators.receiver import Receiver


def session_params(unit_amount: int = 2000, **more: Any) -> Any:
    return {
        "mode": "payment",
        "line_items": [
            {
                "quantity": 2,
                "price_data": {
                    "currency": "usd",
                    "unit_amount": unit_amount,
                    "product_data": {"name": "Credit <b>"},
                },
            }
        ],
        "success_url": "http://127.0.0.1:1/done?session={CHECKOUT_SESSION_ID}",
        "cancel_url": "http://127.0.0.1:1/cancelled",
        **more,
    }


def new_session(sdk: stripe.StripeClient, **more: Any) -> Any:
    return sdk.v1.checkout.sessions.create(session_params(**more))


def new_invoice(sdk: stripe.StripeClient, amount: int = 5000) -> Any:
    customer = sdk.v1.customers.create({"email": "payer@example.com", "name": "Payer"})
    invoice = sdk.v1.invoices.create(
        {
            "customer": customer.id,
            "collection_method": "send_invoice",
            "days_until_due": 7,
            "metadata": {"order": "42"},
        }
    )
    sdk.v1.invoice_items.create(
        {"customer": customer.id, "invoice": invoice.id or "", "amount": amount, "currency": "usd"}
    )
    return invoice


def kinds(sdk: stripe.StripeClient) -> list[str]:
    """Types of all events, oldest first."""
    return [str(event.type) for event in sdk.v1.events.list({"limit": 100}).data][::-1]


def test_a_new_session_is_open_unpaid_and_has_no_intent(sdk: stripe.StripeClient) -> None:
    session = new_session(
        sdk, client_reference_id="wallet-1", metadata={"user": "u1"}, customer_email="p@example.com"
    )
    assert session.id.startswith("cs_test_")
    assert (session.status, session.payment_status, session.payment_intent) == ("open", "unpaid", None)
    assert (session.amount_total, session.amount_subtotal, session.currency) == (4000, 4000, "usd")
    assert (session.client_reference_id, session.metadata["user"]) == ("wallet-1", "u1")
    assert session.livemode is False
    assert session.customer is None
    assert session.customer_details.email == "p@example.com"
    assert session.expires_at == pytest.approx(time.time() + 86_400, abs=5)
    assert sdk.v1.checkout.sessions.retrieve(session.id).url == session.url


def test_a_payer_pays_on_the_hosted_page(sdk: stripe.StripeClient, controls: Any) -> None:
    session = new_session(sdk)
    page = controls.http.get(session.url)
    assert page.status_code == 200
    assert "40.00 USD" in page.text
    assert "Credit &lt;b&gt;" in page.text
    form = {"action": "pay", "email": "payer@example.com", "card": "4242 4242 4242 4242"}
    paid = controls.http.post(session.url, data=form)
    assert paid.status_code == 303
    assert paid.headers["location"] == f"http://127.0.0.1:1/done?session={session.id}"
    after = sdk.v1.checkout.sessions.retrieve(
        session.id, {"expand": ["payment_intent.latest_charge", "line_items"]}
    )
    assert (after.status, after.payment_status, after.url) == ("complete", "paid", None)
    assert after.customer_details is not None
    assert after.customer_details.email == "payer@example.com"
    intent: Any = after.payment_intent
    assert (intent.status, intent.amount_received, intent.latest_charge.paid) == ("succeeded", 4000, True)
    assert after.line_items is not None
    assert [line.amount_total for line in after.line_items.data] == [4000]
    assert "complete" in controls.http.get(session.url).text


def test_cancelling_leads_back_and_leaves_the_session_open(sdk: stripe.StripeClient, controls: Any) -> None:
    session = new_session(sdk)
    left = controls.http.post(session.url, data={"action": "cancel"})
    assert (left.status_code, left.headers["location"]) == (303, "http://127.0.0.1:1/cancelled")
    assert sdk.v1.checkout.sessions.retrieve(session.id).status == "open"


def test_a_declined_card_leaves_the_session_open_for_another_try(
    sdk: stripe.StripeClient, controls: Any
) -> None:
    session = new_session(sdk)
    page = controls.http.post(session.url, data={"action": "pay", "card": "4000000000000002"})
    assert page.status_code == 402
    assert "declined" in page.text
    assert sdk.v1.checkout.sessions.retrieve(session.id).payment_status == "unpaid"
    controls.post(f"pay/{session.id}")
    assert sdk.v1.checkout.sessions.retrieve(session.id).payment_status == "paid"
    assert kinds(sdk) == [
        "payment_intent.created",
        "charge.failed",
        "payment_intent.payment_failed",
        "charge.succeeded",
        "payment_intent.succeeded",
        "checkout.session.completed",
    ]


@pytest.mark.parametrize(("end", "paid"), [("succeed", "paid"), ("decline", "unpaid")])
def test_a_slow_payment_completes_the_session_before_it_is_paid(
    sdk: stripe.StripeClient, controls: Any, end: str, paid: str
) -> None:
    session = new_session(sdk)
    waiting = controls.post(f"pay/{session.id}", outcome="async")
    assert (waiting["status"], waiting["payment_status"]) == ("complete", "unpaid")
    assert controls.post(f"pay/{session.id}", outcome=end)["payment_status"] == paid
    ending = "succeeded" if paid == "paid" else "failed"
    told = [kind for kind in kinds(sdk) if kind.startswith("checkout")]
    assert told == ["checkout.session.completed", f"checkout.session.async_payment_{ending}"]
    assert controls.http.post(f"/_sim/pay/{session.id}", json={}).status_code == 400


def test_a_session_is_paid_or_expired_but_once(sdk: stripe.StripeClient, controls: Any) -> None:
    paid, expired = new_session(sdk), new_session(sdk)
    controls.post(f"pay/{paid.id}")
    gone = sdk.v1.checkout.sessions.expire(expired.id)
    assert (gone.status, gone.url) == ("expired", None)
    for session in (paid, expired):
        assert controls.http.post(f"/_sim/pay/{session.id}", json={}).status_code == 400
        with pytest.raises(stripe.InvalidRequestError):
            sdk.v1.checkout.sessions.expire(session.id)


def test_a_session_with_nothing_to_pay_needs_no_payment(sdk: stripe.StripeClient, controls: Any) -> None:
    session = new_session(sdk, unit_amount=0)
    done = controls.post(f"pay/{session.id}")
    assert (done["status"], done["payment_status"], done["payment_intent"]) == (
        "complete",
        "no_payment_required",
        None,
    )


def test_only_the_intents_own_metadata_reaches_intent_and_charge(
    sdk: stripe.StripeClient, controls: Any
) -> None:
    session = new_session(sdk, metadata={"a": "session"}, payment_intent_data={"metadata": {"b": "intent"}})
    intent = sdk.v1.payment_intents.retrieve(controls.post(f"pay/{session.id}")["payment_intent"])
    charge = sdk.v1.charges.retrieve(str(intent.latest_charge))
    assert intent.metadata.to_dict() == charge.metadata.to_dict() == {"b": "intent"}
    found = sdk.v1.checkout.sessions.list({"payment_intent": intent.id})
    assert [each.id for each in found.data] == [session.id]


def test_an_invoice_is_drafted_finalized_sent_and_paid(sdk: stripe.StripeClient, controls: Any) -> None:
    invoice = new_invoice(sdk)
    assert sdk.v1.invoices.retrieve(invoice.id).status == "draft"
    opened = sdk.v1.invoices.finalize_invoice(invoice.id)
    assert (opened.status, opened.amount_due, opened.amount_paid) == ("open", 5000, 0)
    assert re.fullmatch(r"[A-Z0-9]{8}-0001", opened.number or "")
    assert opened.due_date == opened.created + 7 * 86_400
    sdk.v1.invoices.send_invoice(invoice.id)
    page = controls.http.get(opened.hosted_invoice_url)
    assert "50.00 USD" in page.text
    assert controls.http.get(opened.invoice_pdf).content.startswith(b"%PDF-1.4")
    assert controls.http.post(opened.hosted_invoice_url, data={"action": "pay"}).status_code == 200
    paid = sdk.v1.invoices.retrieve(invoice.id, {"expand": ["payments"]})
    assert (paid.status, paid.amount_paid, paid.amount_remaining) == ("paid", 5000, 0)
    assert paid.metadata is not None
    assert paid.metadata["order"] == "42"
    assert paid.payments is not None
    assert paid.payments.data[0].status == "paid"
    assert kinds(sdk) == [
        "customer.created",
        "invoice.created",
        "invoiceitem.created",
        "payment_intent.created",
        "invoice.finalized",
        "invoice.sent",
        "charge.succeeded",
        "payment_intent.succeeded",
        "invoice_payment.paid",
        "invoice.paid",
        "invoice.payment_succeeded",
    ]


def test_an_invoice_is_found_from_the_charge_that_paid_it(sdk: stripe.StripeClient, controls: Any) -> None:
    invoice = new_invoice(sdk)
    controls.post(f"pay/{invoice.id}")
    intent = sdk.v1.charges.list().data[0].payment_intent
    found = sdk.v1.invoice_payments.list(
        {"payment": {"type": "payment_intent", "payment_intent": str(intent)}}
    )
    assert [payment.invoice for payment in found.data] == [invoice.id]


def test_a_declined_payment_leaves_the_invoice_open(sdk: stripe.StripeClient) -> None:
    invoice = new_invoice(sdk)
    sdk.v1.invoices.finalize_invoice(invoice.id)
    with pytest.raises(stripe.CardError) as declined:
        sdk.v1.invoices.pay(invoice.id, {"payment_method": "pm_card_chargeDeclined"})
    assert declined.value.code == "card_declined"
    assert sdk.v1.invoices.retrieve(invoice.id).attempt_count == 1
    assert kinds(sdk)[-1] == "invoice.payment_failed"
    assert sdk.v1.invoices.pay(invoice.id, {"payment_method": "pm_card_visa"}).status == "paid"
    with pytest.raises(stripe.InvalidRequestError):
        sdk.v1.invoices.pay(invoice.id, {"payment_method": "pm_card_visa"})


def test_an_invoice_paid_elsewhere_has_no_charge(sdk: stripe.StripeClient) -> None:
    invoice = new_invoice(sdk)
    sdk.v1.invoices.finalize_invoice(invoice.id)
    paid = sdk.v1.invoices.pay(invoice.id, {"paid_out_of_band": True})
    assert (paid.status, paid.amount_paid_off_stripe) == ("paid", 5000)
    assert sdk.v1.charges.list().data == []


def test_a_void_invoice_is_not_payable(sdk: stripe.StripeClient, controls: Any) -> None:
    invoice = new_invoice(sdk)
    sdk.v1.invoices.finalize_invoice(invoice.id)
    assert sdk.v1.invoices.void_invoice(invoice.id).status == "void"
    assert kinds(sdk)[-1] == "invoice.voided"
    assert controls.http.post(f"/_sim/pay/{invoice.id}", json={}).status_code == 400
    with pytest.raises(stripe.InvalidRequestError):
        sdk.v1.invoices.delete(invoice.id)


def test_pending_items_join_an_invoice_only_when_asked(sdk: stripe.StripeClient) -> None:
    customer = sdk.v1.customers.create({"email": "p@example.com"}).id
    sdk.v1.invoice_items.create({"customer": customer, "amount": 700, "currency": "usd"})
    sdk.v1.invoice_items.create(
        {"customer": customer, "quantity": 3, "unit_amount_decimal": Decimal("0.5"), "currency": "usd"}
    )
    assert sdk.v1.invoices.create({"customer": customer}).total == 0
    included = sdk.v1.invoices.create({"customer": customer, "pending_invoice_items_behavior": "include"})
    assert (included.total, [line.amount for line in included.lines.data]) == (702, [700, 2])


def test_refunds_never_exceed_the_charge(sdk: stripe.StripeClient, controls: Any) -> None:
    intent = controls.post(f"pay/{new_session(sdk).id}")["payment_intent"]
    first = sdk.v1.refunds.create({"payment_intent": intent, "amount": 1500, "metadata": {"n": "1"}})
    assert (first.status, first.amount, first.currency) == ("succeeded", 1500, "usd")
    with pytest.raises(stripe.InvalidRequestError) as too_much:
        sdk.v1.refunds.create({"payment_intent": intent, "amount": 2501})
    assert too_much.value.param == "amount"
    assert sdk.v1.refunds.create({"charge": str(first.charge)}).amount == 2500
    with pytest.raises(stripe.InvalidRequestError) as again:
        sdk.v1.refunds.create({"payment_intent": intent})
    assert again.value.code == "charge_already_refunded"
    charge = sdk.v1.charges.retrieve(str(first.charge), {"expand": ["refunds"]})
    assert (charge.refunded, charge.amount_refunded) == (True, 4000)
    assert charge.refunds is not None
    assert [refund.amount for refund in charge.refunds.data] == [2500, 1500]
    events = sdk.v1.events.list({"type": "charge.refunded"}).data
    assert [event.data.object["amount_refunded"] for event in events] == [4000, 1500]


@pytest.mark.parametrize("status", ["won", "lost"])
def test_a_disputed_charge_cannot_be_refunded_until_it_is_won(
    sdk: stripe.StripeClient, controls: Any, status: str
) -> None:
    session = new_session(sdk)
    intent = controls.post(f"pay/{session.id}")["payment_intent"]
    opened = controls.post(f"dispute/{session.id}", reason="fraudulent")
    dispute = sdk.v1.disputes.retrieve(opened["id"])
    assert (dispute.status, dispute.amount, dispute.payment_intent) == ("needs_response", 4000, intent)
    with pytest.raises(stripe.InvalidRequestError) as disputed:
        sdk.v1.refunds.create({"payment_intent": intent})
    assert disputed.value.code == "charge_disputed"
    controls.post(f"close/{dispute.id}", status=status)
    told = [kind for kind in kinds(sdk) if kind.startswith("charge.dispute")]
    assert told[:2] == ["charge.dispute.created", "charge.dispute.funds_withdrawn"]
    assert told[-1] == "charge.dispute.closed"
    assert ("charge.dispute.funds_reinstated" in told) == (status == "won")
    if status == "won":
        assert sdk.v1.refunds.create({"payment_intent": intent}).amount == 4000


def test_an_invoice_is_charged_back_like_a_session(sdk: stripe.StripeClient, controls: Any) -> None:
    invoice = new_invoice(sdk)
    controls.post(f"pay/{invoice.id}")
    assert controls.post(f"dispute/{invoice.id}", amount=1200)["amount"] == 1200
    assert controls.http.post(f"/_sim/dispute/{invoice.id}", json={}).status_code == 400
    assert controls.http.post(f"/_sim/dispute/{new_session(sdk).id}", json={}).status_code == 400


async def test_the_asynchronous_client_works_too(simulator: str, controls: Any) -> None:
    transport = stripe.AIOHTTPClient()
    client = stripe.StripeClient(
        "sk_test_any", base_addresses={"api": f"{simulator}/stripe"}, http_client=transport
    )
    session = await client.v1.checkout.sessions.create_async(session_params())
    controls.post(f"pay/{session.id}")
    assert (await client.v1.checkout.sessions.retrieve_async(session.id)).payment_status == "paid"
    await transport.close_async()  # type: ignore[no-untyped-call]


def test_events_name_the_request_that_caused_them(sdk: stripe.StripeClient, receiver: Receiver) -> None:
    customer = sdk.v1.customers.create({"email": "p@example.com"}, {"idempotency_key": "k1"})
    event = sdk.v1.events.list({"type": "customer.created"}).data[0]
    assert event.request is not None
    assert event.request.idempotency_key == "k1"
    assert event.request.id == customer.last_response.request_id  # type: ignore[union-attr]
    assert event.pending_webhooks == 1
    assert event.api_version == stripe.api_version
