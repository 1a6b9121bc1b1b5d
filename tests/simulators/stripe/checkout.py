"""Checkout sessions of mode payment: open, then complete or expired; paid at once, later, or never."""

from urllib.parse import quote, urlsplit

from simulators.stripe.account import Account, Object, list_of, merged, new_id, now
from simulators.stripe.amounts import check_chargeable, currency_of, line_amount
from simulators.stripe.customers import add_customer
from simulators.stripe.errors import StripeError, card_declined, invalid, missing, refused
from simulators.stripe.payments import Outcome, attempt, open_intent
from simulators.stripe.requests import CreateSession, SessionLine, UpdateMetadata

LIFETIME_S = (30 * 60, 24 * 3600)
MAX_LINES = 100
MAX_REFERENCE = 200
PLACEHOLDER = "{CHECKOUT_SESSION_ID}"


def create_session(account: Account, params: CreateSession) -> Object:
    """`POST /v1/checkout/sessions`; as at Stripe there is no payment intent before somebody pays."""
    customer = _customer(account, params)
    lines = _lines(params.line_items)
    currency = lines[0]["currency"]
    total = check_chargeable(sum(line["amount_total"] for line in lines), currency, "line_items")
    session_id = new_id("cs_test", 58)
    session = account.add(
        {
            "id": session_id,
            "object": "checkout.session",
            "allow_promotion_codes": params.allow_promotion_codes,
            "amount_subtotal": total,
            "amount_total": total,
            "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
            "billing_address_collection": params.billing_address_collection,
            "cancel_url": _url(params.cancel_url, "cancel_url"),
            "client_reference_id": params.client_reference_id,
            "client_secret": None,
            "created": now(),
            "currency": currency,
            "customer": customer["id"] if customer else None,
            "customer_creation": None if customer else params.customer_creation,
            "customer_details": None,
            "customer_email": params.customer_email or None,
            "custom_fields": [],
            "custom_text": {},
            "discounts": [],
            "expires_at": _expiry(params.expires_at),
            "invoice": None,
            "livemode": False,
            "locale": params.locale,
            "metadata": merged({}, params.metadata),
            "mode": params.mode,
            "payment_intent": None,
            "payment_link": None,
            "payment_method_types": params.payment_method_types or ["card"],
            "payment_status": "unpaid" if total else "no_payment_required",
            "setup_intent": None,
            "shipping_options": [],
            "status": "open",
            "submit_type": params.submit_type,
            "subscription": None,
            "success_url": _url(params.success_url, "success_url"),
            "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
            "ui_mode": params.ui_mode,
            "url": f"{account.base_url}/c/pay/{session_id}",
            "_line_items": list_of(f"/v1/checkout/sessions/{session_id}/line_items", lines),
            "_intent": params.payment_intent_data,
        }
    )
    if customer:
        session["customer_details"] = _details(customer["email"], customer["name"])
    elif session["customer_email"]:
        session["customer_details"] = _details(session["customer_email"])
    return session


def update_session(account: Account, params: UpdateMetadata, session_id: str) -> Object:
    """`POST /v1/checkout/sessions/{id}`."""
    session = account.get("checkout.session", session_id)
    session["metadata"] = merged(session["metadata"], params.metadata)
    return session


def expire_session(account: Account, session: Object) -> Object:
    """Ends a session that is still open; raises the 400 otherwise."""
    if session["status"] != "open":
        raise refused(f"Only a session that is open can expire; this one is {session['status']}")
    session.update(status="expired", url=None)
    account.emit("checkout.session.expired", session)
    return session


def pay_session(account: Account, session: Object, outcome: Outcome, email: str | None) -> Object:
    """What the payer does: pays, is declined, or chooses a slow method, whose end is told by a second call.

    Raises the 400 for a session that is over, and the 402 of a card that is declined while it stays open.
    """
    if session["status"] == "complete" and session["payment_status"] == "unpaid":
        return _settle(account, session, outcome)
    if session["status"] != "open":
        raise refused(f"This session is {session['status']}")
    if email:
        session["customer_details"] = _details(email)
    if session["amount_total"]:
        _try(account, session, outcome)
    session.update(status="complete", url=None)
    account.emit("checkout.session.completed", session)
    return session


def return_url(session: Object, *, paid: bool) -> str | None:
    """Where the payer's browser goes afterwards, fit for a header."""
    url: str | None = session["success_url"] if paid else session["cancel_url"]
    return url and quote(url.replace(PLACEHOLDER, session["id"]), safe="%/:=&?~#+!$,;'@()*[]")


def _try(account: Account, session: Object, outcome: Outcome) -> None:
    email = (session["customer_details"] or {}).get("email")
    if session["customer"] is None and session["customer_creation"] == "always":
        session["customer"] = add_customer(account, email=email)["id"]
    intent = account.lookup(session["payment_intent"] or "")
    if intent is None:
        data = session["_intent"]
        intent = open_intent(
            account,
            session["amount_total"],
            session["currency"],
            customer=session["customer"],
            metadata=merged({}, data.metadata) if data else {},
            description=data and data.description,
            receipt_email=data and data.receipt_email,
        )
    attempt(account, intent, outcome, email)
    # a later attempt goes on with this intent
    session["payment_intent"] = intent["id"]
    if outcome == "decline":
        raise card_declined(intent["latest_charge"])
    if outcome == "succeed":
        session["payment_status"] = "paid"


def _settle(account: Account, session: Object, outcome: Outcome) -> Object:
    intent = account.get("payment_intent", session["payment_intent"])
    if intent["status"] != "processing" or outcome == "async":
        raise refused("This payment is over, or waits already")
    attempt(account, intent, outcome, (session["customer_details"] or {}).get("email"))
    if outcome == "succeed":
        session["payment_status"] = "paid"
    end = "succeeded" if outcome == "succeed" else "failed"
    account.emit(f"checkout.session.async_payment_{end}", session)
    return session


def _customer(account: Account, params: CreateSession) -> Object | None:
    if len(params.client_reference_id or "") > MAX_REFERENCE:
        raise invalid(f"At most {MAX_REFERENCE} characters", "client_reference_id")
    if params.customer and params.customer_email:
        raise invalid("Give one of customer and customer_email", "customer_email")
    return account.get("customer", params.customer, "customer") if params.customer else None


def _lines(lines: list[SessionLine]) -> list[Object]:
    if not 1 <= len(lines) <= MAX_LINES:
        raise invalid(f"1 to {MAX_LINES} line items are needed", "line_items", "parameter_missing")
    made = [_line(line, f"line_items[{position}]") for position, line in enumerate(lines)]
    if len({line["currency"] for line in made}) > 1:
        raise invalid("All line items must have one currency", "line_items")
    return made


def _line(line: SessionLine, param: str) -> Object:
    data = line.price_data
    if data is None:
        if line.price is None:
            raise invalid("One of price and price_data is needed", f"{param}[price]", "parameter_missing")
        raise missing("price", line.price, f"{param}[price]")
    if data.product_data is None:
        raise _product_error(data.product, f"{param}[price_data]")
    if line.quantity < 1:
        raise invalid("quantity is at least 1", f"{param}[quantity]", "parameter_invalid_integer")
    currency = currency_of(data.currency, f"{param}[price_data][currency]")
    quantity = int(line.quantity)
    amount = line_amount(data.unit_amount, data.unit_amount_decimal, quantity, f"{param}[price_data]")
    unit_amount = None if data.unit_amount is None else int(data.unit_amount)
    return {
        "id": new_id("li"),
        "object": "item",
        "amount_discount": 0,
        "amount_subtotal": amount,
        "amount_tax": 0,
        "amount_total": amount,
        "currency": currency,
        "description": data.product_data.name,
        "metadata": {},
        "price": {
            "id": new_id("price"),
            "object": "price",
            "active": False,
            "billing_scheme": "per_unit",
            "created": now(),
            "currency": currency,
            "livemode": False,
            "metadata": {},
            "product": new_id("prod", 14),
            "type": "one_time",
            "unit_amount": unit_amount,
            "unit_amount_decimal": data.unit_amount_decimal or str(unit_amount),
        },
        "quantity": quantity,
    }


def _product_error(product: str | None, param: str) -> StripeError:
    if product is not None:
        return missing("product", product, f"{param}[product]")
    return invalid("product_data is needed", f"{param}[product_data]", "parameter_missing")


def _expiry(expires_at: int | None) -> int:
    earliest, latest = (now() + lifetime_s for lifetime_s in LIFETIME_S)
    if expires_at is None:
        return latest
    # a second of grace, as the caller's clock was read before ours
    if not earliest - 1 <= expires_at <= latest + 1:
        raise invalid("expires_at is 30 minutes to 24 hours from now", "expires_at")
    return int(expires_at)


def _url(url: str | None, param: str) -> str | None:
    if url is None:
        return None
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc or not url.isprintable():
        raise invalid("Not a valid URL", param, "url_invalid")
    return url


def _details(email: str | None, name: str | None = None) -> Object:
    details: Object = {"address": None, "name": name, "phone": None, "tax_exempt": "none", "tax_ids": []}
    return {"email": email, **details}
