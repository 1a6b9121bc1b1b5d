"""What a webhook endpoint is sent, in each mode, and how it verifies it."""

import json
import threading
from typing import Any

import pytest
import stripe

from simulators.receiver import Received, Receiver

SECRET = "whsec_known_to_both"


def verified(received: Received, secret: str = SECRET) -> Any:
    header = received.headers["stripe-signature"]
    return stripe.Webhook.construct_event(received.body, header, secret)


def kinds(receiver: Receiver) -> list[str]:
    return [json.loads(received.body)["type"] for received in receiver.received]


def cause(controls: Any, *names: str) -> list[str]:
    """Events of these types, caused one after the other; their ids."""
    return [controls.post("emit", type=name, object={"id": f"obj_{name}"})["id"] for name in names]


def paid_invoice(sdk: stripe.StripeClient, controls: Any) -> None:
    customer = sdk.v1.customers.create({"email": "p@example.com"}).id
    invoice = sdk.v1.invoices.create(
        {"customer": customer, "collection_method": "send_invoice", "days_until_due": 1}
    )
    assert invoice.id is not None
    sdk.v1.invoice_items.create(
        {"customer": customer, "invoice": invoice.id, "amount": 900, "currency": "usd"}
    )
    controls.post(f"pay/{invoice.id}")


def test_an_endpoint_of_the_api_gets_the_events_it_asked_for(
    sdk: stripe.StripeClient, controls: Any, receiver: Receiver
) -> None:
    controls.post("reset")
    endpoint = sdk.v1.webhook_endpoints.create({"url": receiver.url, "enabled_events": ["invoice.paid"]})
    assert endpoint.secret is not None
    assert endpoint.secret.startswith("whsec_")
    assert "secret" not in sdk.v1.webhook_endpoints.retrieve(endpoint.id)
    paid_invoice(sdk, controls)
    (delivery,) = controls.settled()
    event = verified(receiver.received[0], endpoint.secret)
    assert (event.type, event.id) == ("invoice.paid", delivery["event"])
    assert event.data.object.amount_paid == 900
    assert (delivery["outcome"], delivery["status"]) == ("delivered", 200)
    sdk.v1.webhook_endpoints.delete(endpoint.id)
    paid_invoice(sdk, controls)
    assert len(controls.settled()) == 1


def test_events_arrive_in_order_and_verify(
    sdk: stripe.StripeClient, controls: Any, receiver: Receiver
) -> None:
    paid_invoice(sdk, controls)
    assert {delivery["outcome"] for delivery in controls.settled()} == {"delivered"}
    arrived = [verified(received).id for received in receiver.received]
    assert arrived == [event.id for event in sdk.v1.events.list({"limit": 100}).data][::-1]
    tampered = receiver.received[0]._replace(body=receiver.received[0].body.replace(b"usd", b"eur") + b" ")
    with pytest.raises(stripe.SignatureVerificationError):
        verified(tampered)


def test_duplicates_are_the_same_event_again(controls: Any, receiver: Receiver) -> None:
    controls.post("config", webhooks="duplicate", copies=3)
    (event,) = cause(controls, "one")
    assert [delivery["copy"] for delivery in controls.settled(event)] == [1, 2, 3]
    assert {verified(received).id for received in receiver.received} == {event}
    assert len({received.body for received in receiver.received}) == 1


def test_concurrent_copies_are_under_way_at_once(controls: Any, receiver: Receiver) -> None:
    # every request waits for the ninety-nine others: one after the other none would be answered with 200
    receiver.barrier = threading.Barrier(100)
    controls.post("config", webhooks="concurrent", copies=100, attempts=1)
    cause(controls, "one")
    assert [delivery["status"] for delivery in controls.settled()] == [200] * 100


def test_reordered_events_arrive_last_first(
    sdk: stripe.StripeClient, controls: Any, receiver: Receiver
) -> None:
    controls.post("config", webhooks="reorder", delay_s=3600)
    paid_invoice(sdk, controls)
    assert receiver.received == []
    controls.post("flush")
    controls.settled()
    arrived = kinds(receiver)
    assert (
        arrived.index("invoice.paid") < arrived.index("invoice.finalized") < arrived.index("invoice.created")
    )


@pytest.mark.parametrize("mode", ["late", "reorder"])
def test_held_events_leave_by_themselves_after_their_delay(
    controls: Any, receiver: Receiver, mode: str
) -> None:
    controls.post("config", webhooks=mode, delay_s=0.05)
    cause(controls, "one", "two")
    receiver.wait_for(2)
    assert sorted(kinds(receiver)) == ["one", "two"]
    assert kinds(receiver)[0] == ("one" if mode == "late" else "two")


def test_late_events_wait_while_later_ones_pass(controls: Any, receiver: Receiver) -> None:
    controls.post("config", webhooks="late", delay_s=3600)
    cause(controls, "held")
    controls.post("config")
    cause(controls, "passing")
    controls.settled()
    assert kinds(receiver) == ["passing"]
    assert controls.post("flush")["under_way"] == 1
    controls.settled()
    assert kinds(receiver) == ["passing", "held"]


def test_a_dropped_event_is_known_to_the_api_and_can_be_sent_again(
    sdk: stripe.StripeClient, controls: Any, receiver: Receiver
) -> None:
    controls.post("config", webhooks="drop")
    (event,) = cause(controls, "lost")
    assert [delivery["outcome"] for delivery in controls.settled()] == ["dropped"]
    assert receiver.received == []
    assert str(sdk.v1.events.retrieve(event).type) == "lost"
    controls.post(f"redeliver/{event}", webhooks="duplicate")
    controls.settled()
    assert [verified(received).id for received in receiver.received] == [event, event]


@pytest.mark.parametrize(
    ("mode", "complaint"), [("bad_signature", "No signatures found"), ("stale", "outside the tolerance")]
)
def test_signatures_can_be_wrong_or_old(controls: Any, receiver: Receiver, mode: str, complaint: str) -> None:
    controls.post("config", webhooks=mode)
    cause(controls, "one")
    controls.settled()
    with pytest.raises(stripe.SignatureVerificationError, match=complaint):
        verified(receiver.received[0])


def test_a_refused_event_is_tried_again_until_it_is_taken(controls: Any, receiver: Receiver) -> None:
    controls.post("config", backoff_s=0.01)
    receiver.answers.extend([500, 302, 400])
    (event,) = cause(controls, "one")
    tried = controls.settled(event)
    assert [(each["attempt"], each["status"]) for each in tried] == [(1, 500), (2, 302), (3, 400), (4, 200)]
    assert {verified(received).id for received in receiver.received} == {event}


def test_an_event_is_given_up_after_the_last_attempt(controls: Any, receiver: Receiver) -> None:
    controls.post("config", backoff_s=0, attempts=2)
    receiver.answers.extend([500] * 9)
    cause(controls, "one")
    assert [each["outcome"] for each in controls.settled()] == ["refused", "refused"]


def test_an_endpoint_that_is_down_is_a_failed_attempt(controls: Any) -> None:
    controls.post("config", backoff_s=0, attempts=2)
    controls.post("endpoints", url="http://127.0.0.1:9/", secret=SECRET)
    cause(controls, "one")
    tried = controls.settled()
    assert [each["outcome"] for each in tried] == ["failed", "failed"]
    assert tried[0]["status"] is None
    assert "Connect" in tried[0]["error"]


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/hook",
        "http://10.0.0.1/hook",
        "http://127.0.0.1.example.com/",
        "http://localhost@example.com/",
        "ftp://127.0.0.1/",
        "nonsense",
    ],
)
def test_events_go_to_loopback_only(sdk: stripe.StripeClient, url: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        sdk.v1.webhook_endpoints.create({"url": url, "enabled_events": ["*"]})
    assert refused.value.code == "url_invalid"


@pytest.mark.parametrize(
    "body",
    [
        {"webhooks": "sometimes"},
        {"copies": 0},
        {"copies": 201},
        {"delay_s": -1},
        {"attempts": 11},
        {"unknown": 1},
        {"api_times": "x"},
    ],
)
def test_a_bad_configuration_is_refused(controls: Any, body: dict[str, Any]) -> None:
    assert controls.http.post("/_sim/config", json=body).status_code == 400
