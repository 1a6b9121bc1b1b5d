"""POST /webhooks/stripe."""

from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, post
from litestar.di import NamedDependency
from litestar.params import HeaderParameter

from billing.payments.domain.ports import Cashier
from billing.payments.usecases.payments import Payments
from billing.payments.usecases.reversals import Reversals
from billing.payments.usecases.webhooks import receive_event

MAX_EVENT_BYTES = 2**20


class Received(msgspec.Struct, frozen=True):
    """Stripe shall not send it again; `handled` is false when it was no concern of the ledger."""

    received: bool
    handled: bool


class StripeWebhookController(Controller):
    """Where Stripe tells what was paid; its signature is the credential."""

    path = "/webhooks/stripe"
    tags = ("billing",)
    opt = {"public": True}  # noqa: RUF012  Litestar reads it so

    @post(status_code=200, request_max_body_size=MAX_EVENT_BYTES)
    async def receive(
        self,
        request: Request[Any, Any, Any],
        cashier: NamedDependency[Cashier],
        payments: NamedDependency[Payments],
        reversals: NamedDependency[Reversals],
        signature: Annotated[str, HeaderParameter(name="Stripe-Signature")] = "",
    ) -> Received:
        """Answered when everything the event asks for is committed; Stripe repeats it otherwise."""
        handled = await receive_event(cashier, payments, reversals, await request.body(), signature)
        return Received(received=True, handled=handled)
