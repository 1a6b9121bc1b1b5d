"""/api/billing/payments, and their refunds."""

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, HeaderParameter, JSONBody, QueryParameter

from billing.domain.leases import is_uuid
from billing.domain.ports import Clock
from billing.payments.domain.payments import MAX_TEXT, Method, Payment, check_wish
from billing.payments.domain.ports import RatioStore
from billing.payments.domain.recharge import (
    credit_nano,
    format_amount,
    format_price,
    parse_amount,
    parse_currency,
)
from billing.payments.domain.reversals import Reversal
from billing.payments.usecases.payments import Payments
from billing.payments.usecases.recharge import find_ratio
from billing.payments.usecases.reversals import Reversals
from billing.routes.idempotency import operation_id
from billing.routes.principals import account_of
from common.contracts.errors import InvalidRequestError
from common.contracts.principals import Principal
from common.kit.money import MAX_NANO, format_usd

IdempotencyKey = Annotated[str | None, HeaderParameter(name="Idempotency-Key")]


class PaymentRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`amount` in `currency`, a decimal string. An invoice needs the `email` it is made out to.

    `account` is the caller's own unless an admin names another.
    """

    amount: str
    method: Method
    currency: str = "USD"
    success_url: str = ""
    cancel_url: str = ""
    description: str = "Balance"
    email: str = ""
    account: str | None = None


class RefundRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`amount` in the payment's currency; without it all that is left goes back."""

    reason: str
    amount: str | None = None


class PaymentView(msgspec.Struct, frozen=True):
    """A payment: `amount` in `currency`, `credits` in USD; `reversed` is what went or is on its way back."""

    id: str
    account: str
    method: Method
    status: str
    url: str | None
    amount: str
    currency: str
    credits: str
    price: str
    reversed: str
    description: str
    failure: str | None
    created_at: str


class ReversalView(msgspec.Struct, frozen=True):
    """A refund or chargeback; `uncollected` is the part of `credits` that the wallet lacked."""

    id: str
    payment: str
    kind: str
    status: str
    amount: str
    currency: str
    credits: str
    uncollected: str
    reason: str
    created_at: str


class PaymentDetail(PaymentView, frozen=True, kw_only=True):
    """A payment with everything that came of it back."""

    reversals: list[ReversalView]


class PaymentList(msgspec.Struct, frozen=True):
    """Newest first; `next` is the `before` of the next page, null at the end."""

    data: list[PaymentView]
    next: str | None


class PaymentController(Controller):
    """Money in by Stripe, and back."""

    path = "/api/billing/payments"
    tags = ("billing",)

    @post()
    async def create(
        self,
        principal: NamedDependency[Principal],
        payments: NamedDependency[Payments],
        ratios: NamedDependency[RatioStore],
        clock: NamedDependency[Clock],
        payment_return_url: NamedDependency[str],
        data: JSONBody[PaymentRequest],
        idempotency_key: IdempotencyKey = None,
    ) -> PaymentView:
        """Make what is to be paid; `url` is where. The same Idempotency-Key gets the same payment."""
        account = payer_of(principal, data.account)
        currency = parse_currency(data.currency)
        ratio = await find_ratio(ratios, currency)
        amount_minor = parse_amount(data.amount, currency)
        wish = Payment(
            id=operation_id("payment", principal, idempotency_key),
            account=account,
            method=data.method,
            status="creating",
            amount_minor=amount_minor,
            currency=currency,
            price_micro=ratio.price_micro,
            credit_nano=credit_nano(amount_minor, ratio),
            description=data.description,
            email=data.email,
            success_url=data.success_url or payment_return_url,
            cancel_url=data.cancel_url,
            created_at=clock(),
        )
        check_wish(wish)
        return PaymentView(**_fields(await payments.create(wish)))

    @get()
    async def list_(
        self,
        principal: NamedDependency[Principal],
        payments: NamedDependency[Payments],
        account: FromQuery[str | None] = None,
        before: FromQuery[str | None] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=500)] = 50,
    ) -> PaymentList:
        """The caller's own, newest first; an admin may name another account, or `all`."""
        account = account_of(principal, account)
        everybody = account == "all"
        if not (everybody or is_uuid(account)):
            return PaymentList([], None)
        found = await payments.list_newest(None if everybody else account, cursor_of(before), limit + 1)
        page = found[:limit]
        cursor = str(page[-1].position) if len(found) > limit else None
        return PaymentList([PaymentView(**_fields(payment)) for payment in page], cursor)

    @get("/{payment:str}")
    async def read(
        self,
        principal: NamedDependency[Principal],
        payments: NamedDependency[Payments],
        reversals: NamedDependency[Reversals],
        payment: FromPath[str],
    ) -> PaymentDetail:
        """One payment and what came of it back; another account's is not found."""
        found = await payments.read(payment, None if principal.is_admin else principal.account)
        back = [_reversal_view(found, reversal) for reversal in await reversals.list_of(found)]
        return PaymentDetail(**_fields(found), reversals=back)

    @post("/{payment:str}/refunds")
    async def refund(
        self,
        principal: NamedDependency[Principal],
        payments: NamedDependency[Payments],
        reversals: NamedDependency[Reversals],
        clock: NamedDependency[Clock],
        payment: FromPath[str],
        data: JSONBody[RefundRequest],
        idempotency_key: IdempotencyKey = None,
    ) -> ReversalView:
        """Give a payment or a part of it back. The same Idempotency-Key gets the same refund."""
        principal.require_admin()
        found = await payments.read(payment, None)
        if not 0 < len(data.reason) <= MAX_TEXT or "\0" in data.reason:
            raise InvalidRequestError(f"A reason has 1 to {MAX_TEXT} characters.", param="reason")
        amount_minor = found.amount_minor - found.reversed_minor
        if data.amount is not None:
            amount_minor = parse_amount(data.amount, found.currency)
        wish = Reversal(
            operation_id("refund", principal, idempotency_key),
            found.id,
            "refund",
            "taking",
            amount_minor,
            0,
            requested=True,
            reason=data.reason,
            created_at=clock(),
        )
        return _reversal_view(found, await reversals.request(found, wish))


def payer_of(principal: Principal, account: str | None) -> str:
    """Whose wallet is meant: the caller's own unless an admin names another."""
    account = account_of(principal, account)
    if not is_uuid(account):
        raise InvalidRequestError("account is not a UUID.", param="account")
    return account


def cursor_of(text: str | None) -> int:
    """A position from a list's `next`; InvalidRequestError."""
    if text is None:
        return MAX_NANO
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise InvalidRequestError("This is no cursor of ours.", param="before")
    return int(text)


def moment(time: datetime) -> str:
    """RFC 3339 in UTC, to the millisecond."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds")


def _fields(payment: Payment) -> dict[str, Any]:
    return {
        "id": payment.id,
        "account": payment.account,
        "method": payment.method,
        "status": payment.status,
        "url": payment.url if payment.status == "open" else None,
        "amount": format_amount(payment.amount_minor, payment.currency),
        "currency": payment.currency,
        "credits": format_usd(payment.credit_nano),
        "price": format_price(payment.price_micro),
        "reversed": format_amount(payment.reversed_minor, payment.currency),
        "description": payment.description,
        "failure": payment.failure or None,
        "created_at": moment(payment.created_at),
    }


def _reversal_view(payment: Payment, reversal: Reversal) -> ReversalView:
    return ReversalView(
        reversal.id,
        payment.id,
        reversal.kind,
        reversal.status,
        format_amount(reversal.amount_minor, payment.currency),
        payment.currency,
        format_usd(reversal.amount_nano),
        format_usd(reversal.uncollected_nano),
        reversal.reason,
        moment(reversal.created_at),
    )
