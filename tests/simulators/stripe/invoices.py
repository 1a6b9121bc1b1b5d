"""Invoices: draft, open once finalized, then paid, void or uncollectible; lines come from invoice items.

As at Stripe: a new invoice is empty unless it is told to include pending items; paying tells of itself by
`invoice.paid`; a finalized invoice's money is found through `payments`.
"""

from simulators.stripe.account import Account, Object, list_of, merged, new_id, now, require
from simulators.stripe.amounts import MOST, check_chargeable, currency_of, line_amount
from simulators.stripe.errors import card_declined, invalid, refused
from simulators.stripe.payments import DAY_S, Outcome, attempt, cancel, open_intent
from simulators.stripe.requests import CreateInvoice, CreateInvoiceItem, Finalize, PayInvoice, UpdateInvoice

DECLINED = "pm_card_chargeDeclined"

_AMOUNTS = (
    "amount_due",
    "amount_overpaid",
    "amount_paid",
    "amount_paid_off_stripe",
    "amount_remaining",
    "amount_shipping",
    "post_payment_credit_notes_amount",
    "pre_payment_credit_notes_amount",
    "starting_balance",
    "subtotal",
    "total",
)


def create_invoice(account: Account, params: CreateInvoice) -> Object:
    """`POST /v1/invoices`: a draft, with the customer's pending items if it says so."""
    customer = account.get("customer", params.customer, "customer")
    invoice = account.add(_draft(params, customer))
    if params.pending_invoice_items_behavior == "include":
        for item in reversed(account.find("invoiceitem", customer=customer["id"])):
            if item["invoice"] is None and item["currency"] == invoice["currency"]:
                _take(invoice, item)
    account.emit("invoice.created", invoice)
    return invoice


def create_item(account: Account, params: CreateInvoiceItem) -> Object:
    """`POST /v1/invoiceitems`: onto a draft, or pending until an invoice includes it."""
    invoice = account.get("invoice", params.invoice, "invoice") if params.invoice else None
    customer_id = params.customer or (invoice["customer"] if invoice else None)
    if customer_id is None:
        raise invalid("customer is needed", "customer", "parameter_missing")
    customer = account.get("customer", customer_id, "customer")
    default = invoice["currency"] if invoice else customer["currency"] or "usd"
    currency = currency_of(params.currency or default, "currency")
    if invoice is not None:
        _require_draft(invoice)
        if invoice["customer"] != customer_id or invoice["currency"] != currency:
            raise invalid("Customer and currency must be the invoice's", "invoice")
    amount, quantity = _amount(params)
    item = account.add(
        {
            "id": new_id("ii"),
            "object": "invoiceitem",
            "amount": amount,
            "currency": currency,
            "customer": customer_id,
            "date": now(),
            "description": params.description,
            "discountable": True,
            "discounts": [],
            "invoice": None,
            "livemode": False,
            "metadata": merged({}, params.metadata),
            "parent": None,
            "period": {"start": now(), "end": now()},
            "pricing": {"type": "price_details", "unit_amount_decimal": params.unit_amount_decimal},
            "proration": False,
            "quantity": quantity,
            "quantity_decimal": str(quantity),
            "tax_rates": [],
            "test_clock": None,
        }
    )
    if invoice is not None:
        _take(invoice, item)
    account.emit("invoiceitem.created", item)
    return item


def update_invoice(account: Account, params: UpdateInvoice, invoice_id: str) -> Object:
    """`POST /v1/invoices/{id}`."""
    invoice = account.get("invoice", invoice_id)
    if params.description is not None:
        _require_draft(invoice)
        invoice["description"] = params.description or None
    if params.auto_advance is not None:
        invoice["auto_advance"] = params.auto_advance
    invoice["metadata"] = merged(invoice["metadata"], params.metadata)
    account.emit("invoice.updated", invoice)
    return invoice


def finalize_invoice(account: Account, params: Finalize, invoice_id: str) -> Object:
    """`POST /v1/invoices/{id}/finalize`: a number, a page, an intent; nothing due is paid at once."""
    invoice = account.get("invoice", invoice_id)
    _require_draft(invoice)
    check_chargeable(invoice["amount_due"], invoice["currency"])
    customer = account.get("customer", invoice["customer"])
    number = customer["next_invoice_sequence"]
    customer.update(next_invoice_sequence=number + 1, currency=invoice["currency"])
    invoice["status_transitions"]["finalized_at"] = now()
    url = f"{account.base_url}/i/{invoice_id}"
    invoice.update(
        status="open",
        number=f"{customer['invoice_prefix']}-{number:04}",
        auto_advance=invoice["auto_advance"] if params.auto_advance is None else params.auto_advance,
        hosted_invoice_url=url,
        invoice_pdf=f"{url}/pdf",
        ending_balance=0,
    )
    if invoice["amount_due"]:
        _expect_payment(account, invoice)
    account.emit("invoice.finalized", invoice)
    if not invoice["amount_due"]:
        _paid(account, invoice)
    return invoice


def send_invoice(account: Account, invoice_id: str) -> Object:
    """`POST /v1/invoices/{id}/send`: finalizes a draft; no mail is sent, as in Stripe's test mode."""
    invoice = account.get("invoice", invoice_id)
    if invoice["collection_method"] != "send_invoice":
        raise refused("Only invoices of collection_method send_invoice can be sent")
    if invoice["status"] == "draft":
        finalize_invoice(account, Finalize(), invoice_id)
    account.emit("invoice.sent", invoice)
    return invoice


def pay_by_seller(account: Account, params: PayInvoice, invoice_id: str) -> Object:
    """`POST /v1/invoices/{id}/pay`: needs a payment method, or word that it was paid elsewhere."""
    invoice = account.get("invoice", invoice_id)
    if params.paid_out_of_band:
        if invoice["status"] == "draft":
            finalize_invoice(account, Finalize(), invoice_id)
        _require_unpaid(invoice)
        _cancel_payments(account, invoice)
        invoice["amount_paid_off_stripe"] = invoice["amount_due"]
        return _paid(account, invoice)
    if params.payment_method is None:
        message = "No default_payment_method is set on this customer or invoice; give a payment_method"
        raise refused(message, "resource_missing", "payment_method")
    declined = params.payment_method.startswith(DECLINED)
    return pay_invoice(account, invoice, "decline" if declined else "succeed", None)


def pay_invoice(account: Account, invoice: Object, outcome: Outcome, email: str | None) -> Object:
    """A try to pay, of the seller or at the hosted page; a slow method leaves the invoice open until a second
    call. Raises the 400 for an invoice that is not payable, and the 402 of a card that is declined.
    """
    if invoice["status"] == "draft":
        finalize_invoice(account, Finalize(), invoice["id"])
        if invoice["status"] == "paid":
            return invoice
    _require_unpaid(invoice)
    payment = invoice["_payments"]["data"][0]
    intent = account.get("payment_intent", payment["payment"]["payment_intent"])
    if intent["status"] == "processing" and outcome == "async":
        raise refused("A payment of this invoice waits already")
    attempt(account, intent, outcome, email or invoice["customer_email"])
    invoice.update(attempted=True, attempt_count=invoice["attempt_count"] + 1)
    if outcome == "decline":
        account.emit("invoice.payment_failed", invoice)
        raise card_declined(intent["latest_charge"])
    if outcome == "succeed":
        payment.update(status="paid", amount_paid=payment["amount_requested"])
        payment["status_transitions"]["paid_at"] = now()
        account.emit("invoice_payment.paid", payment)
        _paid(account, invoice)
    return invoice


def void_invoice(account: Account, invoice_id: str) -> Object:
    """`POST /v1/invoices/{id}/void`."""
    return _give_up(account, invoice_id, "void", "voided")


def write_off_invoice(account: Account, invoice_id: str) -> Object:
    """`POST /v1/invoices/{id}/mark_uncollectible`; it can still be paid or voided."""
    return _give_up(account, invoice_id, "uncollectible", "marked_uncollectible")


def delete_draft(account: Account, invoice_id: str) -> Object:
    """`DELETE /v1/invoices/{id}`, and its items."""
    invoice = account.get("invoice", invoice_id)
    _require_draft(invoice)
    for item in account.find("invoiceitem", invoice=invoice_id):
        account.remove(item)
    account.emit("invoice.deleted", invoice)
    return account.remove(invoice)


def _draft(params: CreateInvoice, customer: Object) -> Object:
    invoice_id, created = new_id("in"), now()
    types = params.payment_settings.payment_method_types if params.payment_settings else None
    transitions = ("finalized_at", "marked_uncollectible_at", "paid_at", "voided_at")
    return {
        "id": invoice_id,
        "object": "invoice",
        "account_country": "US",
        "account_name": "Simulated",
        **dict.fromkeys(_AMOUNTS, 0),
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": params.auto_advance,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "billing_reason": "manual",
        "collection_method": params.collection_method,
        "created": created,
        "currency": currency_of(params.currency or customer["currency"] or "usd", "currency"),
        "customer": customer["id"],
        **{f"customer_{name}": customer[name] for name in ("address", "email", "name", "phone")},
        "default_payment_method": None,
        "default_tax_rates": [],
        "description": params.description,
        "discounts": [],
        "due_date": _due_date(params, created),
        "ending_balance": None,
        "footer": params.footer,
        "hosted_invoice_url": None,
        "invoice_pdf": None,
        "issuer": {"type": "self"},
        "last_finalization_error": None,
        "lines": list_of(f"/v1/invoices/{invoice_id}/lines", []),
        "livemode": False,
        "metadata": merged({}, params.metadata),
        "next_payment_attempt": None,
        "number": None,
        "parent": None,
        "payment_settings": {"payment_method_options": None, "payment_method_types": types},
        "period_end": created,
        "period_start": created,
        "receipt_number": None,
        "statement_descriptor": params.statement_descriptor,
        "status": "draft",
        "status_transitions": dict.fromkeys(transitions),
        "total_discount_amounts": [],
        "total_taxes": [],
        "webhooks_delivered_at": created,
        "_payments": list_of(f"/v1/invoice_payments?invoice={invoice_id}", []),
    }


def _give_up(account: Account, invoice_id: str, status: str, transition: str) -> Object:
    invoice = account.get("invoice", invoice_id)
    _require_unpaid(invoice)
    invoice.update(status=status, auto_advance=False)
    invoice["status_transitions"][f"{transition}_at"] = now()
    if status == "void":
        _cancel_payments(account, invoice)
    account.emit(f"invoice.{transition}", invoice)
    return invoice


def _expect_payment(account: Account, invoice: Object) -> None:
    intent = open_intent(
        account,
        invoice["amount_due"],
        invoice["currency"],
        customer=invoice["customer"],
        description=invoice["description"],
    )
    payment = account.add(
        {
            "id": new_id("inpay"),
            "object": "invoice_payment",
            "amount_paid": None,
            "amount_requested": invoice["amount_due"],
            "created": now(),
            "currency": invoice["currency"],
            "invoice": invoice["id"],
            "is_default": True,
            "livemode": False,
            "payment": {"type": "payment_intent", "payment_intent": intent["id"]},
            "status": "open",
            "status_transitions": {"canceled_at": None, "paid_at": None},
        }
    )
    invoice["_payments"]["data"].append(payment)


def _cancel_payments(account: Account, invoice: Object) -> None:
    for payment in invoice["_payments"]["data"]:
        if payment["status"] == "open":
            payment["status"] = "canceled"
            payment["status_transitions"]["canceled_at"] = now()
            cancel(account, account.get("payment_intent", payment["payment"]["payment_intent"]))


def _paid(account: Account, invoice: Object) -> Object:
    invoice["status_transitions"]["paid_at"] = now()
    invoice.update(
        status="paid",
        attempted=True,
        auto_advance=False,
        amount_paid=invoice["amount_due"],
        amount_remaining=0,
    )
    account.emit("invoice.paid", invoice)
    account.emit("invoice.payment_succeeded", invoice)
    return invoice


def _take(invoice: Object, item: Object) -> None:
    item["invoice"] = invoice["id"]
    line = {name: item[name] for name in ("amount", "currency", "description", "discountable", "period")}
    invoice["lines"]["data"].append(
        {
            "id": new_id("il"),
            "object": "line_item",
            **line,
            "discount_amounts": [],
            "discounts": [],
            "invoice": invoice["id"],
            "livemode": False,
            "metadata": dict(item["metadata"]),
            "parent": {"type": "invoice_item_details", "invoice_item_details": {"invoice_item": item["id"]}},
            "pricing": item["pricing"],
            "quantity": item["quantity"],
            "taxes": [],
        }
    )
    total = sum(each["amount"] for each in invoice["lines"]["data"])
    due = max(0, total)
    invoice.update(subtotal=total, total=total, amount_due=due, amount_remaining=due)


def _amount(params: CreateInvoiceItem) -> tuple[int, int]:
    quantity = 1 if params.quantity is None else int(params.quantity)
    if params.amount is not None:
        if params.quantity is not None or params.unit_amount_decimal is not None:
            raise invalid("Give amount, or unit_amount_decimal and quantity", "amount")
        amount = int(params.amount)
    else:
        amount = line_amount(None, params.unit_amount_decimal, quantity, "invoiceitem")
    if abs(amount) > MOST:
        raise invalid(f"At most {MOST} can be invoiced at once", "amount", "amount_too_large")
    return amount, quantity


def _due_date(params: CreateInvoice, created: int) -> int | None:
    given = params.due_date is not None, params.days_until_due is not None
    if params.collection_method == "charge_automatically":
        if any(given):
            raise invalid("due_date and days_until_due need collection_method send_invoice", "days_until_due")
        return None
    if sum(given) != 1:
        raise invalid("send_invoice needs one of due_date and days_until_due", "days_until_due")
    if params.days_until_due is not None:
        return created + int(params.days_until_due) * DAY_S
    return int(params.due_date or 0)


def _require_draft(invoice: Object) -> None:
    error = refused(f"This invoice is {invoice['status']}, no draft any more", "invoice_not_editable")
    require(invoice, "status", "draft", otherwise=error)


def _require_unpaid(invoice: Object) -> None:
    error = refused(f"This invoice is {invoice['status']}, nothing to be done about", "invoice_not_open")
    require(invoice, "status", "open", "uncollectible", otherwise=error)
