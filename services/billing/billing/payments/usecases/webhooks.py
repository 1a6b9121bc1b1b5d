"""What Stripe's events are taken for. A return means that everything they ask for is committed."""

from typing import Any

from billing.payments.domain.errors import UnsupportedEventError
from billing.payments.domain.payments import invoice_fact, session_fact
from billing.payments.domain.ports import Cashier
from billing.payments.usecases.payments import Payments
from billing.payments.usecases.reversals import Reversals

_SESSION = frozenset(
    f"checkout.session.{end}"
    for end in ("completed", "async_payment_succeeded", "async_payment_failed", "expired")
)
_INVOICE = frozenset(("invoice.paid", "invoice.voided", "invoice.payment_failed"))
_REVERSAL = ("charge.refund", "charge.dispute.", "refund.")


async def receive_event(
    cashier: Cashier, payments: Payments, reversals: Reversals, body: bytes, signature: str
) -> bool:
    """Whether the event was of a kind that concerns the ledger.

    BadSignatureError, UnsupportedEventError; UnavailableError when Stripe shall send it again.
    """
    event = cashier.read_event(body, signature)
    if event.type in _SESSION:
        await payments.settle(session_fact(event.object, event.type))
    elif event.type in _INVOICE:
        await payments.settle(invoice_fact(event.object, event.type))
    elif event.type.startswith(_REVERSAL):
        intent = _intent_of(event.object)
        return bool(intent) and await reversals.follow(intent)
    else:
        return False
    return True


def _intent_of(value: dict[str, Any]) -> str:
    """The payment intent of a charge, refund or dispute; empty for the kinds of charge that have none."""
    intent = value.get("payment_intent")
    if isinstance(intent, dict):
        intent = intent.get("id")
    if intent is not None and not isinstance(intent, str):
        raise UnsupportedEventError("The event's object names no payment intent.")
    return intent or ""
