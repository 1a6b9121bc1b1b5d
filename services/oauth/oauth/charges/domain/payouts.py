"""Payouts: what an app earned goes to its owner's wallet, or out of Tollway by the operator's own means."""

from datetime import datetime
from typing import Literal

import msgspec

from common.contracts.payables import PayoutTarget
from common.kit.money import format_usd

PayoutStatus = Literal["pending", "paid", "failed"]


class PayoutAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`amount` is a decimal string of USD; `reference` is the operator's own, of a bank transfer say."""

    amount: str
    to: PayoutTarget
    reference: str = ""


class Payout(msgspec.Struct, frozen=True, kw_only=True):
    """One payout; its id is the ledger's. `account` is told, and paid when it goes to a wallet."""

    id: str
    app: str
    key: str
    state: PayoutStatus
    amount_nano: int
    target: PayoutTarget
    account: str
    reference: str
    created_by: str
    created_at: datetime
    due_at: datetime | None = None

    def same_wish(self, other: "Payout") -> bool:
        """Whether both were asked for with the same words."""
        names = ("app", "amount_nano", "target", "account", "reference")
        return all(getattr(self, name) == getattr(other, name) for name in names)


class PayoutView(msgspec.Struct, frozen=True, kw_only=True):
    """A payout as the owner and the operator see it."""

    id: str
    status: PayoutStatus
    amount: str
    currency: str = "USD"
    to: PayoutTarget
    reference: str
    created_at: datetime


def show_payout(payout: Payout) -> PayoutView:
    """As it is shown."""
    return PayoutView(
        id=payout.id,
        status=payout.state,
        amount=format_usd(payout.amount_nano),
        to=payout.target,
        reference=payout.reference,
        created_at=payout.created_at,
    )
