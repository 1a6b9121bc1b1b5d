"""Top-up orders that other services make for a person, who then pays at Stripe."""

from typing import Literal

import msgspec

from common.contracts.rpc import Method

PaymentMethod = Literal["stripe_checkout", "stripe_invoice"]


class PaymentOrder(msgspec.Struct, frozen=True, array_like=True):
    """Make what is to be paid; `amount` in `currency` is a decimal string. An invoice needs an `email`.

    `id` is a UUID of the caller's: the same with the same body gets the same payment, with another body it is
    409 `conflict`. `return_url` is where the payer goes afterwards; empty is the installation's own page.
    The wallet is credited when Stripe says that it was paid, and by nothing else.
    """

    id: str
    account: str
    method: PaymentMethod
    amount: str
    currency: str = "USD"
    email: str = ""
    return_url: str = ""
    description: str = "Balance"


class PaymentRead(msgspec.Struct, frozen=True, array_like=True):
    """How is this payment of `account`? 404 `not_found` when it has none such."""

    id: str
    account: str


class PaymentState(msgspec.Struct, frozen=True, array_like=True):
    """A payment; `url` is the page to pay at while it is `open`. `credits` is USD of balance."""

    id: str
    status: str
    url: str
    amount: str
    currency: str
    credits: str
    failure: str
    created_at: str


PAYMENT_ORDER: Method[PaymentOrder, PaymentState] = Method(
    "rpc.billing.payment.order.v1", PaymentOrder, PaymentState, timeout_s=15.0
)
PAYMENT_READ: Method[PaymentRead, PaymentState] = Method(
    "rpc.billing.payment.read.v1", PaymentRead, PaymentState
)
