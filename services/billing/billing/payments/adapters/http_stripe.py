"""Stripe through its own SDK. Importing it costs about 40 MB, so only an installation with a key does.

Idempotency keys are derived from our ids (docs.stripe.com/api/idempotent_requests): a repetition after a lost
answer gets the first object again.
"""

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal, cast

import aiohttp
import stripe

from billing.payments.domain.errors import BadSignatureError, PaymentRefusedError, UnsupportedEventError
from billing.payments.domain.payments import METADATA_KEY, Fact, Payment, invoice_fact, session_fact
from billing.payments.domain.ports import Placed, WebhookEvent
from billing.payments.domain.reversals import METADATA_KEY as REFUND_KEY
from billing.payments.domain.reversals import Reversal, ReversalFact
from common.contracts.errors import UnavailableError
from common.kit.ids import named_id

_LOG = logging.getLogger(__name__)

TOLERANCE_S = 300
DAYS_UNTIL_DUE = 30
_TIMEOUT = aiohttp.ClientTimeout(total=20, connect=5)
_RETRIES = 2
_PAGE = 100
_LIVE = ("sk_live_", "rk_live_")
_REFUND_OUTCOMES: dict[str, Literal["taken", "confirmed", "returned"]] = {
    "pending": "taken",
    "requires_action": "taken",
    "succeeded": "confirmed",
    "failed": "returned",
    "canceled": "returned",
}


class StripeCashier:
    """See domain.ports.Cashier. `api_base` is empty for Stripe's own address."""

    def __init__(self, api_key: str, webhook_secrets: tuple[str, ...], api_base: str = "") -> None:
        self._secrets = webhook_secrets
        self._live = api_key.startswith(_LIVE)
        self._http = stripe.AIOHTTPClient(timeout=_TIMEOUT)
        self._client = stripe.StripeClient(
            api_key,
            base_addresses={"api": api_base} if api_base else {},
            http_client=self._http,
            max_network_retries=_RETRIES,
        )
        self._api = self._client.v1

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close_async()  # type: ignore[no-untyped-call]

    def read_event(self, body: bytes, signature: str) -> WebhookEvent:
        """Verify with each secret in turn (docs.stripe.com/webhooks#verify-manually), on the wall clock."""
        self._verify(body, signature)
        try:
            event = json.loads(body)
            kind, id_, object_ = event["type"], event["id"], event["data"]["object"]
        except (ValueError, KeyError, TypeError):
            raise UnsupportedEventError("The body is no snapshot event.") from None
        if event.get("object") != "event" or not isinstance(object_, dict) or not isinstance(kind, str):
            raise UnsupportedEventError("The body is no snapshot event.")
        if event.get("livemode") is not self._live:
            raise UnsupportedEventError("The event is of the other mode, live or test, than the API key.")
        if event.get("account") is not None:
            raise UnsupportedEventError("The event is of another account.")
        return WebhookEvent(str(id_), kind, object_)

    def _verify(self, body: bytes, signature: str) -> None:
        reason = "The webhook has no signature."
        for secret in self._secrets:
            try:
                stripe.Webhook.construct_event(body, signature, secret, TOLERANCE_S)
            except stripe.SignatureVerificationError as error:
                reason = str(error).partition("(")[0]
            except (ValueError, TypeError, AttributeError):
                raise UnsupportedEventError("The body is no event.") from None
            else:
                return
        raise BadSignatureError(f"The signature does not hold: {reason}")

    async def place(self, payment: Payment) -> Placed:
        """A Checkout Session, or an Invoice with its customer and line, finalized."""
        async with _failures():
            if payment.method == "stripe_invoice":
                return await self._invoice(payment)
            return await self._session(payment)

    async def look(self, payment: Payment) -> Fact:
        """The object, a session with its intent."""
        async with _failures():
            if payment.stripe_object is None:
                raise UnavailableError("The payment has no object at Stripe yet.")
            if payment.method == "stripe_invoice":
                invoice = await self._api.invoices.retrieve_async(payment.stripe_object)
                return invoice_fact(_plain(invoice))
            session = await self._api.checkout.sessions.retrieve_async(
                payment.stripe_object, {"expand": ["payment_intent"]}
            )
            return session_fact(_plain(session))

    async def object_of(self, intent: str) -> str | None:
        """Sessions know their intent; an invoice is found by its payments."""
        async with _failures():
            sessions = await self._api.checkout.sessions.list_async({"payment_intent": intent})
            if sessions.data:
                return sessions.data[0].id
            payments = await self._api.invoice_payments.list_async(
                {"payment": {"type": "payment_intent", "payment_intent": intent}}
            )
            return _id_of(payments.data[0].invoice) if payments.data else None

    async def intent_of(self, payment: Payment) -> str | None:
        """The intent of the session, or of the invoice's payment that was made."""
        async with _failures():
            if payment.stripe_object is None:
                return None
            if payment.method == "stripe_checkout":
                session = await self._api.checkout.sessions.retrieve_async(payment.stripe_object)
                return _id_of(session.payment_intent)
            payments = await self._api.invoice_payments.list_async(
                {"invoice": payment.stripe_object, "status": "paid"}
            )
            for paid in payments.data:
                if paid.payment.payment_intent is not None:
                    return _id_of(paid.payment.payment_intent)
            return None

    async def reversals(self, intent: str) -> list[ReversalFact]:
        """Refunds, then disputes, each oldest first: the first hundred, which is more than a payment has."""
        async with _failures():
            refunds = await self._api.refunds.list_async({"payment_intent": intent, "limit": _PAGE})
            disputes = await self._api.disputes.list_async({"payment_intent": intent, "limit": _PAGE})
        return [
            *(_refund_fact(refund) for refund in reversed(refunds.data)),
            *(_dispute_fact(dispute) for dispute in reversed(disputes.data)),
        ]

    async def refund(self, intent: str, reversal: Reversal) -> str:
        """Ask for a refund of the intent's charge or a part of it."""
        async with _failures():
            refund = await self._api.refunds.create_async(
                {
                    "payment_intent": intent,
                    "amount": reversal.amount_minor,
                    "metadata": {REFUND_KEY: reversal.id},
                },
                {"idempotency_key": f"tollway-refund-{reversal.id}"},
            )
            return refund.id

    async def _session(self, payment: Payment) -> Placed:
        params: dict[str, Any] = {
            "mode": "payment",
            "line_items": [
                {
                    "quantity": 1,
                    "price_data": {
                        "currency": payment.currency.lower(),
                        "unit_amount": payment.amount_minor,
                        "product_data": {"name": payment.description},
                    },
                }
            ],
            "success_url": payment.success_url,
            "client_reference_id": payment.account,
            "metadata": {METADATA_KEY: payment.id},
            "payment_intent_data": {"metadata": {METADATA_KEY: payment.id}},
        }
        if payment.cancel_url:
            params["cancel_url"] = payment.cancel_url
        if payment.email:
            params["customer_email"] = payment.email
        session = await self._api.checkout.sessions.create_async(
            cast("Any", params), {"idempotency_key": f"tollway-session-{payment.id}"}
        )
        return Placed(session.id, session.url or "")

    async def _invoice(self, payment: Payment) -> Placed:
        """Four steps, each with its own key: repeated from the beginning they end at the same invoice."""
        customer = await self._api.customers.create_async(
            {"email": payment.email, "metadata": {"tollway_account": payment.account}},
            {"idempotency_key": f"tollway-customer-{named_id(payment.account, payment.email)}"},
        )
        invoice = await self._api.invoices.create_async(
            {
                "customer": customer.id,
                "collection_method": "send_invoice",
                "days_until_due": DAYS_UNTIL_DUE,
                "auto_advance": False,
                "currency": payment.currency.lower(),
                "metadata": {METADATA_KEY: payment.id},
            },
            {"idempotency_key": f"tollway-invoice-{payment.id}"},
        )
        invoice_id = str(invoice.id)
        await self._api.invoice_items.create_async(
            {
                "customer": customer.id,
                "invoice": invoice_id,
                "amount": payment.amount_minor,
                "currency": payment.currency.lower(),
                "description": payment.description,
            },
            {"idempotency_key": f"tollway-item-{payment.id}"},
        )
        final = await self._api.invoices.finalize_invoice_async(
            invoice_id, {}, {"idempotency_key": f"tollway-finalize-{payment.id}"}
        )
        return Placed(invoice_id, final.hosted_invoice_url or "")


@asynccontextmanager
async def _failures() -> AsyncIterator[None]:
    """Stripe's errors as ours: refused for good, or unknown and to be asked again."""
    try:
        yield
    except (stripe.InvalidRequestError, stripe.CardError) as error:
        if error.code == "idempotency_key_in_use":
            raise UnavailableError("Stripe is at it already.", retry_after_s=1) from None
        message = error.user_message or "Stripe refuses it."
        raise PaymentRefusedError(f"Stripe: {message}") from None
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        _LOG.error("Stripe refuses the API key: %s", error.code or type(error).__name__)
        raise UnavailableError("Payments are not possible now.", retry_after_s=60) from None
    except (stripe.StripeError, aiohttp.ClientError, TimeoutError, OSError) as error:
        _LOG.warning("Stripe does not answer well: %s", type(error).__name__)
        raise UnavailableError("Stripe does not answer; ask again.", retry_after_s=2) from None


def _refund_fact(refund: stripe.Refund) -> ReversalFact:
    ours = str((_plain(refund).get("metadata") or {}).get(REFUND_KEY, ""))
    outcome = _REFUND_OUTCOMES.get(refund.status or "", "taken")
    return ReversalFact("refund", refund.id, ours, refund.amount, outcome, refund.reason or "stripe")


def _dispute_fact(dispute: stripe.Dispute) -> ReversalFact:
    """An inquiry (`warning_…`) has taken no money. docs.stripe.com/disputes/how-disputes-work."""
    outcome: Literal["taken", "confirmed", "returned", "none"] = "taken"
    if dispute.status in ("won", "prevented"):
        outcome = "returned"
    elif dispute.status == "lost":
        outcome = "confirmed"
    elif dispute.status.startswith("warning_"):
        outcome = "none"
    return ReversalFact("chargeback", dispute.id, "", dispute.amount, outcome, dispute.reason)


def _id_of(value: Any) -> str | None:
    """The id of what an answer names or holds."""
    return value if value is None or isinstance(value, str) else str(value.id)


def _plain(value: stripe.StripeObject) -> dict[str, Any]:
    plain: dict[str, Any] = value.to_dict()
    return plain
