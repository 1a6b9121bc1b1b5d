"""What the platform owes to apps, and its payouts. Money comes in by captures of holds (contracts.holds)."""

from typing import Literal

import msgspec

from common.contracts.rpc import Method

PayoutTarget = Literal["wallet", "external"]


class PayablesRead(msgspec.Struct, frozen=True, array_like=True):
    """What is owed to these apps (client ids, at most 500)?"""

    apps: tuple[str, ...]


class Payables(msgspec.Struct, frozen=True, array_like=True):
    """Nano-USD in the order asked; below zero where refunds came after a payout: the app owes that."""

    balances_nano: tuple[int, ...]


class PayoutPost(msgspec.Struct, frozen=True, array_like=True):
    """Pay `amount_nano` of what is owed to `app`: into the wallet of `account`, or outside of Tollway.

    `external` is money that an operator sends by other means; it is then in the ledger account `app_payouts`.
    `id` is a UUID of the caller's: the same with the same body is answered again, with another body it is 409
    `conflict`. More than is owed is 409 `exceeds_payable`. `account` is told either way.
    """

    id: str
    app: str
    account: str
    amount_nano: int
    to: PayoutTarget


class PayoutState(msgspec.Struct, frozen=True, array_like=True):
    """Paid; `balance_nano` is what was still owed right after it."""

    id: str
    balance_nano: int


PAYABLES_READ: Method[PayablesRead, Payables] = Method("rpc.billing.payables.read.v1", PayablesRead, Payables)
PAYOUT_POST: Method[PayoutPost, PayoutState] = Method("rpc.billing.payout.post.v1", PayoutPost, PayoutState)
