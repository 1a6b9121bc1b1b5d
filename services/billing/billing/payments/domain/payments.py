"""A payment from the wish to the credit: what is known of it, and what Stripe's objects say about it.

creating ─▶ open ─▶ processing ─▶ succeeded        an object is credited at most once, by its own id
    └─────────┴─────────┴───────▶ failed | expired | voided | mismatched
Whatever ended otherwise still succeeds when Stripe says later that it was paid.
"""

import hashlib
from datetime import datetime
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from billing.domain.accounts import STRIPE_CLEARING
from billing.domain.books import Books, Wanted
from billing.domain.topups import PostTopup, Topup
from billing.payments.domain.errors import UnsupportedEventError
from billing.payments.domain.recharge import format_amount
from common.contracts.billing import PaymentCreated, PaymentFailed, PaymentSucceeded
from common.contracts.errors import InvalidRequestError
from common.kit.ids import named_id
from common.kit.money import format_usd

Method = Literal["stripe_checkout", "stripe_invoice"]
Status = Literal["creating", "open", "processing", "succeeded", "failed", "expired", "voided", "mismatched"]
Outcome = Literal["paid", "waiting", "processing", "declined", "failed", "expired", "voided"]
PaymentEvent = PaymentCreated | PaymentFailed

MAX_TEXT = 250
_MAX_URL = 2000

REASONS: dict[str, str] = {
    "declined": "payment_failed",
    "failed": "async_payment_failed",
    "expired": "expired",
    "voided": "voided",
}
"""Why a payment was not credited, as its event says it, by outcome."""


class Payment(msgspec.Struct, frozen=True):
    """One payment. Amounts: `amount_minor` in the smallest unit of `currency`, `credit_nano` of balance.

    `price_micro` is the ratio it was made at, and `reversed_…` what of it went, or is on its way, back.
    """

    id: str
    account: str
    method: Method
    status: Status
    amount_minor: int
    currency: str
    price_micro: int
    credit_nano: int
    description: str
    email: str
    success_url: str
    cancel_url: str
    created_at: datetime
    position: int = 0
    stripe_object: str | None = None
    stripe_intent: str | None = None
    url: str = ""
    failure: str = ""
    reversed_minor: int = 0
    reversed_nano: int = 0

    def same_wish(self, other: "Payment") -> bool:
        """Whether both were asked for with the same words; the ratio may have changed in between."""
        return all(getattr(self, name) == getattr(other, name) for name in _WISH)


def check_wish(payment: Payment) -> None:
    """Raise InvalidRequestError, naming the field, unless Stripe can be asked for it."""
    words = payment.description
    if not 0 < len(words) <= MAX_TEXT or not words.isprintable():
        raise InvalidRequestError(f"A description has 1 to {MAX_TEXT} characters.", param="description")
    email = payment.email
    if email and ("@" not in email or len(email) > MAX_TEXT or not email.isprintable()):
        raise InvalidRequestError("This is no e-mail address.", param="email")
    if payment.method == "stripe_invoice" and not email:
        raise InvalidRequestError("An invoice is made out to an e-mail address.", param="email")
    if payment.method == "stripe_checkout" and not payment.success_url:
        raise InvalidRequestError("Where shall the payer go afterwards?", param="success_url")
    for param in ("success_url", "cancel_url"):
        url: str = getattr(payment, param)
        if url and not _is_web_address(url):
            raise InvalidRequestError("This is no address of a web page.", param=param)


def _is_web_address(url: str) -> bool:
    if len(url) > _MAX_URL or not url.isprintable():
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


_WISH = ("account", "method", "amount_minor", "currency", "description", "email", "success_url", "cancel_url")


class Fact(msgspec.Struct, frozen=True):
    """What Stripe says of a session or an invoice. `payment` is what our metadata in it names, if it is ours.

    `amount_minor` and `currency` are what was paid; `intent` the payment intent, when the object names it.
    """

    object: str
    payment: str
    outcome: Outcome
    amount_minor: int = 0
    currency: str = ""
    intent: str = ""

    def is_for(self, payment: Payment) -> bool:
        """Whether the right amount was paid, in the right currency, for the object the payment has."""
        known = payment.stripe_object in (None, self.object)
        return known and (self.amount_minor, self.currency) == (payment.amount_minor, payment.currency)


def credit_id(stripe_object: str) -> str:
    """The id of the top-up that credits this object, which what goes back of it refers to."""
    return named_id("stripe", stripe_object)


class CreditPayment(msgspec.Struct, frozen=True):
    """Credit the wallet for one object of Stripe, and tell it; decided to the Topup, again the same."""

    payment: Payment
    object: str
    size: int = 1

    def want(self, wanted: Wanted) -> None:
        """As the top-up."""
        self._topup().want(wanted)

    def decide(self, books: Books) -> Topup:
        """As PostTopup; the event is told the first time."""
        topup = self._topup()
        first = topup.id not in books.operations
        posted = topup.decide(books)
        if first:
            payment = self.payment
            customer = books.customers[payment.account]
            event = PaymentSucceeded(
                id=named_id("payment-succeeded", payment.id),
                sequence=customer.next_billing_sequence(),
                account=payment.account,
                payment=payment.id,
                method=payment.method,
                amount=format_amount(payment.amount_minor, payment.currency),
                currency=payment.currency,
                credits=format_usd(payment.credit_nano),
                balance=posted.balance,
            )
            books.tell(customer, event)
        return posted

    def _topup(self) -> PostTopup:
        payment = self.payment
        return PostTopup(
            credit_id(self.object),
            payment.account,
            payment.credit_nano,
            "payment",
            payment.method,
            source=STRIPE_CLEARING,
        )


class TellPayment(msgspec.Struct, frozen=True):
    """Tell an event about a payment once per its id; its sequence is given when it is decided."""

    event: PaymentEvent
    size: int = 1

    def want(self, wanted: Wanted) -> None:
        """The account, for its sequence, and whether it was told before."""
        wanted.customers.add(self.event.account)
        wanted.operations.add(self.event.id)

    def decide(self, books: Books) -> None:
        """Tell it, or nothing."""
        event = self.event
        fingerprint = hashlib.sha256(event.id.encode()).digest()
        if books.result_of(event.id, fingerprint) is not None:
            return
        customer = books.customers[event.account]
        books.tell(customer, msgspec.structs.replace(event, sequence=customer.next_billing_sequence()))
        books.remember(event.id, fingerprint, b"")


def created(payment: Payment) -> TellPayment:
    """The event of a new payment."""
    event = PaymentCreated(
        id=named_id("payment-created", payment.id),
        sequence=0,
        account=payment.account,
        payment=payment.id,
        method=payment.method,
        amount=format_amount(payment.amount_minor, payment.currency),
        currency=payment.currency,
        credits=format_usd(payment.credit_nano),
    )
    return TellPayment(event)


def failed(payment: Payment, reason: str, *, final: bool = True) -> TellPayment:
    """The event of a payment that was not credited, once per reason."""
    event = PaymentFailed(
        id=named_id("payment-failed", payment.id, reason),
        sequence=0,
        account=payment.account,
        payment=payment.id,
        method=payment.method,
        amount=format_amount(payment.amount_minor, payment.currency),
        currency=payment.currency,
        reason=reason,
        final=final,
    )
    return TellPayment(event)


class _Session(msgspec.Struct):
    id: str
    status: Literal["open", "complete", "expired"]
    payment_status: Literal["paid", "unpaid", "no_payment_required"]
    amount_total: int
    currency: str
    payment_intent: Any = None
    metadata: dict[str, str] | None = None


class _Invoice(msgspec.Struct):
    id: str
    status: Literal["draft", "open", "paid", "void", "uncollectible"]
    amount_paid: int
    currency: str
    metadata: dict[str, str] | None = None


METADATA_KEY = "tollway_payment"


def session_fact(value: Any, event_type: str = "") -> Fact:
    """What a Checkout Session says, in an event of `event_type` or when it was asked for with its intent.

    Fulfilment rule: docs.stripe.com/checkout/fulfillment. UnsupportedEventError when it cannot be read.
    """
    session = _read(value, _Session)
    outcome: Outcome = "waiting"
    if session.status == "expired" or event_type.endswith(".expired"):
        outcome = "expired"
    elif event_type.endswith(".async_payment_failed"):
        outcome = "failed"
    elif session.status == "complete":
        outcome = "processing" if session.payment_status == "unpaid" else "paid"
    intent = session.payment_intent
    if isinstance(intent, dict):
        if outcome == "processing" and intent.get("status") in ("requires_payment_method", "canceled"):
            outcome = "failed"
        intent = intent.get("id")
    ours = (session.metadata or {}).get(METADATA_KEY, "")
    return Fact(session.id, ours, outcome, session.amount_total, session.currency.upper(), str(intent or ""))


def invoice_fact(value: Any, event_type: str = "") -> Fact:
    """What an Invoice says; it is credited when it is paid and by nothing else. UnsupportedEventError."""
    invoice = _read(value, _Invoice)
    outcome: Outcome = "waiting"
    if invoice.status == "paid":
        outcome = "paid"
    elif invoice.status == "void":
        outcome = "voided"
    elif event_type == "invoice.payment_failed":
        outcome = "declined"
    ours = (invoice.metadata or {}).get(METADATA_KEY, "")
    return Fact(invoice.id, ours, outcome, invoice.amount_paid, invoice.currency.upper())


def _read(value: Any, kind: type[Any]) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise UnsupportedEventError(f"The event's object cannot be read: {error}.") from None
