"""The cashier of an installation without a Stripe key."""

from typing import NoReturn

from billing.payments.domain.errors import PaymentsOffError
from billing.payments.domain.payments import Payment
from billing.payments.domain.ports import WebhookEvent
from billing.payments.domain.reversals import Reversal


class NoStripe:
    """See domain.ports.Cashier: everything is PaymentsOffError."""

    def read_event(self, _body: bytes, _signature: str) -> WebhookEvent:
        """See Cashier."""
        _refuse()

    async def place(self, _payment: Payment) -> NoReturn:
        """See Cashier."""
        _refuse()

    async def look(self, _payment: Payment) -> NoReturn:
        """See Cashier."""
        _refuse()

    async def object_of(self, _intent: str) -> NoReturn:
        """See Cashier."""
        _refuse()

    async def intent_of(self, _payment: Payment) -> NoReturn:
        """See Cashier."""
        _refuse()

    async def reversals(self, _intent: str) -> NoReturn:
        """See Cashier."""
        _refuse()

    async def refund(self, _intent: str, _reversal: Reversal) -> NoReturn:
        """See Cashier."""
        _refuse()


def _refuse() -> NoReturn:
    raise PaymentsOffError("This installation takes no payments: TOLLWAY_STRIPE_API_KEY is not set.")
