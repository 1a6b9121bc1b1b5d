"""Payment intents, their charges, refunds and disputes: how money comes, and how it goes back."""

from typing import Any, Literal

from simulators.stripe.account import Account, Object, list_of, merged, new_id, now
from simulators.stripe.errors import invalid, refused
from simulators.stripe.requests import CreateRefund, UpdateMetadata

Outcome = Literal["succeed", "decline", "async"]
DisputeStatus = Literal["won", "lost"]

DAY_S = 86_400


def open_intent(account: Account, amount: int, currency: str, **fields: Any) -> Object:
    """A new intent that waits for a payment method; `fields` are those of the object."""
    intent = account.add(
        {
            "id": (intent_id := new_id("pi")),
            "object": "payment_intent",
            "amount": amount,
            "amount_capturable": 0,
            "amount_received": 0,
            "canceled_at": None,
            "cancellation_reason": None,
            "capture_method": "automatic",
            "client_secret": f"{intent_id}_secret_{new_id('s')[2:]}",
            "confirmation_method": "automatic",
            "created": now(),
            "currency": currency,
            "customer": None,
            "description": None,
            "last_payment_error": None,
            "latest_charge": None,
            "livemode": False,
            "metadata": {},
            "next_action": None,
            "payment_method": None,
            "payment_method_types": ["card"],
            "processing": None,
            "receipt_email": None,
            "statement_descriptor": None,
            "status": "requires_payment_method",
            **fields,
        }
    )
    account.emit("payment_intent.created", intent)
    return intent


def attempt(account: Account, intent: Object, outcome: Outcome, email: str | None) -> None:
    """Tries to pay: a charge that succeeds or fails, or an intent left processing for a slow method."""
    intent["payment_method"] = new_id("pm")
    if outcome == "async":
        intent["status"] = "processing"
        account.emit("payment_intent.processing", intent)
        return
    charge = _charge(account, intent, paid=outcome == "succeed", email=email)
    intent["latest_charge"] = charge["id"]
    if outcome == "succeed":
        intent.update(status="succeeded", amount_received=intent["amount"], last_payment_error=None)
        account.emit("charge.succeeded", charge)
        account.emit("payment_intent.succeeded", intent)
    else:
        error = {"type": "card_error", "code": "card_declined", "charge": charge["id"]}
        intent.update(
            status="requires_payment_method",
            payment_method=None,
            last_payment_error={**error, "message": charge["failure_message"]},
        )
        account.emit("charge.failed", charge)
        account.emit("payment_intent.payment_failed", intent)


def cancel(account: Account, intent: Object) -> None:
    """Ends an intent that will not be paid."""
    intent.update(status="canceled", canceled_at=now(), cancellation_reason="void_invoice")
    account.emit("payment_intent.canceled", intent)


def _charge(account: Account, intent: Object, *, paid: bool, email: str | None) -> Object:
    charge_id = new_id("ch")
    outcome = {"network_status": "approved_by_network", "type": "authorized", "risk_level": "normal"}
    declined = {"network_status": "declined_by_network", "type": "issuer_declined", "risk_level": "normal"}
    card = {"brand": "visa", "last4": "4242" if paid else "0002", "country": "US", "funding": "credit"}
    return account.add(
        {
            "id": charge_id,
            "object": "charge",
            "amount": intent["amount"],
            "amount_captured": intent["amount"] if paid else 0,
            "amount_refunded": 0,
            "balance_transaction": None,
            "billing_details": {"address": None, "email": email, "name": None, "phone": None},
            "captured": paid,
            "created": now(),
            "currency": intent["currency"],
            "customer": intent["customer"],
            "description": intent["description"],
            "disputed": False,
            "failure_code": None if paid else "card_declined",
            "failure_message": None if paid else "Your card was declined.",
            "fraud_details": {},
            "livemode": False,
            "metadata": dict(intent["metadata"]),
            "outcome": outcome if paid else declined,
            "paid": paid,
            "payment_intent": intent["id"],
            "payment_method": intent["payment_method"],
            "payment_method_details": {"type": "card", "card": card},
            "receipt_email": intent["receipt_email"],
            "receipt_url": f"{account.base_url}/receipts/{charge_id}" if paid else None,
            "refunded": False,
            "status": "succeeded" if paid else "failed",
            "_refunds": list_of(f"/v1/charges/{charge_id}/refunds", []),
        }
    )


def charge_of(account: Account, object_id: str) -> Object:
    """The charge that paid a session or an invoice, or an intent's or itself; raises a 404 or 400."""
    item = account.lookup(object_id)
    if item is not None and item["object"] == "invoice":
        paid = [payment for payment in item["_payments"]["data"] if payment["status"] == "paid"]
        item = account.lookup(paid[0]["payment"]["payment_intent"]) if paid else None
    elif item is not None and item["object"] == "checkout.session":
        item = account.lookup(item["payment_intent"] or "")
    if item is not None and item["object"] == "payment_intent":
        item = account.lookup(item["latest_charge"] or "")
    if item is None or item["object"] != "charge":
        raise refused(f"Nothing was charged for '{object_id}'", "resource_missing", "charge")
    return item


def create_refund(account: Account, params: CreateRefund) -> Object:
    """`POST /v1/refunds`: never more than what is left of a charge that was paid and is not disputed."""
    if (params.charge is None) == (params.payment_intent is None):
        raise invalid("One of charge and payment_intent is needed", "charge", "parameter_missing")
    if params.charge is not None:
        charge = account.get("charge", params.charge, "charge")
    else:
        named = account.get("payment_intent", params.payment_intent or "", "payment_intent")
        charge = charge_of(account, named["id"])
    amount = _refundable(account, charge, params)
    refund = account.add(
        {
            "id": new_id("re"),
            "object": "refund",
            "amount": amount,
            "balance_transaction": None,
            "charge": charge["id"],
            "created": now(),
            "currency": charge["currency"],
            "destination_details": {"type": "card", "card": {"type": "refund"}},
            "metadata": merged({}, params.metadata),
            "payment_intent": charge["payment_intent"],
            "reason": params.reason,
            "receipt_number": None,
            "source_transfer_reversal": None,
            "status": "succeeded",
            "transfer_reversal": None,
        }
    )
    charge["_refunds"]["data"].insert(0, refund)
    before = {name: charge[name] for name in ("amount_refunded", "refunded")}
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    account.emit("charge.refunded", charge, previous=before)
    account.emit("refund.created", refund)
    return refund


def _refundable(account: Account, charge: Object, params: CreateRefund) -> int:
    left = charge["amount_captured"] - charge["amount_refunded"]
    amount = left if params.amount is None else int(params.amount)
    if not charge["paid"]:
        raise refused(f"Charge {charge['id']} has not been paid")
    if any(dispute["status"] != "won" for dispute in account.find("dispute", charge=charge["id"])):
        raise refused(f"Charge {charge['id']} has been charged back", "charge_disputed")
    if not left:
        raise refused(f"Charge {charge['id']} has already been refunded", "charge_already_refunded")
    if not 0 < amount <= left:
        message = f"A refund of {amount} is not possible: {left} of the charge are left"
        raise refused(message, None if amount else "parameter_invalid_integer", "amount")
    return amount


def update_refund(account: Account, params: UpdateMetadata, refund_id: str) -> Object:
    """`POST /v1/refunds/{id}`."""
    refund = account.get("refund", refund_id)
    refund["metadata"] = merged(refund["metadata"], params.metadata)
    return refund


def open_dispute(account: Account, charge: Object, amount: int | None, reason: str) -> Object:
    """The bank takes the money back (all of it, or `amount`) until the dispute is decided; raises a 400."""
    if not charge["paid"] or charge["disputed"]:
        raise refused(f"Charge {charge['id']} cannot be disputed", "charge_disputed")
    if amount is not None and not 0 < amount <= charge["amount"]:
        raise invalid("amount is 1 to the charge's", "amount", "parameter_invalid_integer")
    charge["disputed"] = True
    dispute = account.add(
        {
            "id": new_id("du"),
            "object": "dispute",
            "amount": charge["amount"] if amount is None else amount,
            "balance_transactions": [],
            "charge": charge["id"],
            "created": now(),
            "currency": charge["currency"],
            "enhanced_eligibility_types": [],
            "evidence": {},
            "evidence_details": {
                "due_by": now() + 7 * DAY_S,
                "has_evidence": False,
                "past_due": False,
                "submission_count": 0,
            },
            "is_charge_refundable": False,
            "livemode": False,
            "metadata": {},
            "payment_intent": charge["payment_intent"],
            "reason": reason,
            "status": "needs_response",
        }
    )
    account.emit("charge.dispute.created", dispute)
    account.emit("charge.dispute.funds_withdrawn", dispute)
    return dispute


def close_dispute(account: Account, dispute: Object, status: DisputeStatus) -> Object:
    """Decides a dispute; the seller has the money again if it is won. Raises a 400 if it is decided."""
    if dispute["status"] in ("won", "lost"):
        raise refused(f"Dispute {dispute['id']} is already closed")
    dispute["status"] = status
    if status == "won":
        account.emit("charge.dispute.funds_reinstated", dispute)
    account.emit("charge.dispute.closed", dispute)
    return dispute
