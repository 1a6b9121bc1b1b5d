"""Stripe's webhook: only what it signed lately, for this account and mode, moves money."""

import json
import time
from typing import Any

import httpx
import pytest
import stripe

from common.kit.ids import uuid7

USD = 1_000_000_000


async def _event(till: Any, account: str) -> dict[str, Any]:
    """The event that would credit a payment, which was never delivered."""
    payment = await till.ordered(account)
    await till.control("config", webhooks="drop")
    await till.control(f"pay/{payment['object']}")
    events = (await till.ask("events?type=checkout.session.completed"))["data"]
    event: dict[str, Any] = events[0]
    return event


def _signed(body: str, secret: str, age_s: int = 0) -> str:
    """As the official SDK signs."""
    header: str = stripe.WebhookSignature.generate_signature_header(body, secret, int(time.time()) - age_s)
    return header


async def _send(till: Any, body: str, signature: str | None) -> httpx.Response:
    headers = {} if signature is None else {"Stripe-Signature": signature}
    answer: httpx.Response = await till.billing.http.post("/webhooks/stripe", content=body, headers=headers)
    return answer


async def test_what_the_official_sdk_signs_is_accepted_with_either_secret(till: Any) -> None:
    account = uuid7()
    body = json.dumps(await _event(till, account))
    for secret in (till.SECRET, "whsec_old"):
        answer = await _send(till, body, _signed(body, secret))
        assert (answer.status_code, answer.json()) == (200, {"received": True, "handled": True})
    assert await till.billing.balance(account) == (10 * USD, 0)


async def test_whatever_is_not_signed_lately_by_stripe_changes_nothing(till: Any) -> None:
    account = uuid7()
    body = json.dumps(await _event(till, account))
    good = _signed(body, till.SECRET)
    cases = [
        ("missing", body, None),
        ("empty", body, ""),
        ("nonsense", body, "nonsense"),
        ("no v1", body, good.replace("v1=", "v0=")),
        ("other secret", body, _signed(body, "whsec_of_somebody_else")),
        ("stale", body, _signed(body, till.SECRET, 301)),
        ("tampered", body.replace('"amount_total": 1000', '"amount_total": 9000'), good),
        ("encoded anew", json.dumps(json.loads(body), indent=1), good),
        ("no UTF-8", b"\xff\xfe" + body.encode(), good),
        ("timestamp moved", body, good.replace("t=", "t=1")),
    ]
    for name, sent, signature in cases:
        answer = await _send(till, sent, signature)  # type: ignore[arg-type]
        assert answer.status_code == 400, name
        assert answer.json()["code"] in ("bad_signature", "unsupported_event"), name
    assert (await _send(till, body, _signed(body, till.SECRET, 290))).status_code == 200
    assert await till.billing.balance(account) == (10 * USD, 0)


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"livemode": True}, 400, "unsupported_event"),
        ({"account": "acct_other"}, 400, "unsupported_event"),
        ({"object": "v2.core.event"}, 400, "unsupported_event"),
        ({"data": {}}, 400, "unsupported_event"),
        ({"data": {"object": {"id": "cs_1"}}}, 400, "unsupported_event"),
        ({"data": {"object": {"id": "cs_1", "amount_total": "12"}}}, 400, "unsupported_event"),
        ({"type": 7}, 400, "unsupported_event"),
        ({"type": "payment_method.attached"}, 200, None),
        ({"type": "checkout.session.something_new"}, 200, None),
        ({"type": "charge.refunded", "data": {"object": {"payment_intent": None}}}, 200, None),
        ({"type": "charge.refunded", "data": {"object": {"payment_intent": 7}}}, 400, "unsupported_event"),
        ({"type": "invoice.paid", "data": {"object": {"id": "in_1"}}}, 400, "unsupported_event"),
    ],
)  # fmt: skip
async def test_signed_events_of_the_wrong_kind_are_answered_by_kind(
    till: Any, change: dict[str, Any], status: int, code: str | None
) -> None:
    account = uuid7()
    body = json.dumps(await _event(till, account) | change)
    answer = await _send(till, body, _signed(body, till.SECRET))
    assert (answer.status_code, answer.json().get("code")) == (status, code), answer.text
    assert await till.billing.balance(account) == (0, 0)


async def test_a_body_that_is_no_event_or_too_large_is_refused(till: Any) -> None:
    for body in ("", "[]", "7", "null", '"x"', "{", '{"a": NaN}'):
        answer = await _send(till, body, _signed(body, till.SECRET))
        assert (answer.status_code, answer.json()["code"]) == (400, "unsupported_event"), body
    body = '{"a": "' + "x" * 2**20 + '"}'
    assert (await _send(till, body, _signed(body, till.SECRET))).status_code == 413


@pytest.mark.parametrize("mode", ["bad_signature", "stale"])
async def test_the_simulators_bad_deliveries_are_refused_each_time(till: Any, mode: str) -> None:
    account = uuid7()
    payment = await till.ordered(account)
    await till.control("config", webhooks=mode, attempts=2, backoff_s=0.01)
    await till.control(f"pay/{payment['object']}")
    assert {delivery["status"] for delivery in await till.settled()} == {400}
    assert await till.billing.balance(account) == (0, 0)


async def test_a_webhook_is_not_answered_well_before_its_credit_is_committed(till: Any) -> None:
    account = uuid7()
    body = json.dumps(await _event(till, account))
    await till.billing.change("ALTER TABLE operations RENAME TO operations_away")
    answer = await _send(till, body, _signed(body, till.SECRET))
    assert answer.status_code >= 500
    await till.billing.change("ALTER TABLE operations_away RENAME TO operations")
    assert await till.billing.balance(account) == (0, 0)
    assert (await _send(till, body, _signed(body, till.SECRET))).status_code == 200
    assert await till.billing.balance(account) == (10 * USD, 0)
