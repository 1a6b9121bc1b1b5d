"""Refunds of charges: each gives back a part of what was captured, never more than is left of it."""

import hashlib
from datetime import datetime
from typing import Literal

import msgspec

from common.kit.money import format_usd

RefundStatus = Literal["pending", "succeeded", "failed"]


class RefundAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`amount` is a decimal string of USD; without it all that is left goes back."""

    amount: str | None = None
    reason: str = ""

    def fingerprint(self, amount_nano: int | None) -> bytes:
        """SHA-256 of what must be the same for a key to mean the same."""
        return hashlib.sha256(msgspec.msgpack.encode((amount_nano, self.reason))).digest()


class Refund(msgspec.Struct, frozen=True, kw_only=True):
    """One refund; its id is the ledger's. `fee_nano` of it came from the platform, the rest from the app."""

    id: str
    charge: str
    key: str
    fingerprint: bytes
    state: RefundStatus
    amount_nano: int
    fee_nano: int = 0
    reason: str
    created_at: datetime
    due_at: datetime | None = None


class RefundView(msgspec.Struct, frozen=True, kw_only=True):
    """A refund as apps see it."""

    id: str
    object: str = "refund"
    charge: str
    status: RefundStatus
    amount: str
    fee_refunded: str
    currency: str = "USD"
    reason: str
    created_at: datetime


def show_refund(refund: Refund) -> RefundView:
    """The refund as apps see it."""
    return RefundView(
        id=refund.id,
        charge=refund.charge,
        status=refund.state,
        amount=format_usd(refund.amount_nano),
        fee_refunded=format_usd(refund.fee_nano),
        reason=refund.reason,
        created_at=refund.created_at,
    )
