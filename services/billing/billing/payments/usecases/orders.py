"""Top-up orders that another service makes for a person."""

from datetime import UTC

from billing.domain.leases import is_uuid
from billing.domain.ports import Clock
from billing.payments.domain.payments import Payment, check_wish
from billing.payments.domain.ports import RatioStore
from billing.payments.domain.recharge import credit_nano, format_amount, parse_amount, parse_currency
from billing.payments.usecases.payments import Payments
from billing.payments.usecases.recharge import find_ratio
from common.contracts.errors import InvalidRequestError
from common.contracts.payments import PaymentOrder, PaymentRead, PaymentState
from common.kit.money import format_usd


class Orders:
    """The calls, for the RPC server; errors as contracts.payments has them, and those of payments."""

    def __init__(self, payments: Payments, ratios: RatioStore, clock: Clock, return_url: str) -> None:
        self._payments = payments
        self._ratios = ratios
        self._clock = clock
        self._return_url = return_url

    async def make(self, request: PaymentOrder) -> PaymentState:
        """The payment, open, with the page to pay at."""
        for param in ("id", "account"):
            if not is_uuid(getattr(request, param)):
                raise InvalidRequestError(f"{param} is not a UUID.", param=param)
        currency = parse_currency(request.currency)
        ratio = await find_ratio(self._ratios, currency)
        amount_minor = parse_amount(request.amount, currency)
        wish = Payment(
            id=request.id,
            account=request.account,
            method=request.method,
            status="creating",
            amount_minor=amount_minor,
            currency=currency,
            price_micro=ratio.price_micro,
            credit_nano=credit_nano(amount_minor, ratio),
            description=request.description,
            email=request.email,
            success_url=request.return_url or self._return_url,
            cancel_url="",
            created_at=self._clock(),
        )
        check_wish(wish)
        return _state(await self._payments.create(wish))

    async def read(self, request: PaymentRead) -> PaymentState:
        """One payment; NotFoundError."""
        return _state(await self._payments.read(request.id, request.account))


def _state(payment: Payment) -> PaymentState:
    return PaymentState(
        payment.id,
        payment.status,
        payment.url if payment.status == "open" else "",
        format_amount(payment.amount_minor, payment.currency),
        payment.currency,
        format_usd(payment.credit_nano),
        payment.failure,
        payment.created_at.astimezone(UTC).isoformat(timespec="milliseconds"),
    )
