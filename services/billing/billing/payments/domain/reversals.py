"""Payments that go back: refunds an admin asks for or Stripe tells of, and chargebacks.

    refund:      taking ─▶ pending ─▶ succeeded          the money leaves the wallet before Stripe is asked
                    │         └─────▶ failed  (returned)
                    └─▶ refused (an admin's, and the wallet lacks it)
    chargeback:  taking ─▶ open ─▶ lost | won (returned)
What the wallet lacks is posted from `uncollected` and is the account's debt. Money that leases hold is not
touched, nor is a free allowance.
"""

import hashlib
from datetime import datetime
from typing import Any, Literal

import msgspec

from billing.domain.accounts import STRIPE_CLEARING, UNCOLLECTED
from billing.domain.books import Books, Wanted
from billing.domain.topups import PostTopup, Topup
from billing.payments.domain.payments import Payment, credit_id
from billing.payments.domain.recharge import format_amount
from common.contracts.billing import PaymentDisputed, PaymentRefunded
from common.contracts.errors import InsufficientQuotaError
from common.kit.ids import named_id
from common.kit.money import format_usd, round_half_even

Kind = Literal["refund", "chargeback"]
Status = Literal["taking", "pending", "open", "succeeded", "failed", "refused", "won", "lost"]

TAKEN: dict[Kind, Status] = {"refund": "pending", "chargeback": "open"}
RETURNED: dict[Kind, Status] = {"refund": "failed", "chargeback": "won"}
CONFIRMED: dict[Kind, Status] = {"refund": "succeeded", "chargeback": "lost"}
TRANSFER: dict[Kind, str] = {"refund": "payment_refund", "chargeback": "chargeback"}
_OPENING: dict[Kind, str] = {"refund": "pending", "chargeback": "opened"}

METADATA_KEY = "tollway_refund"


class Reversal(msgspec.Struct, frozen=True):
    """One refund or chargeback of a payment: `amount_minor` in its currency, `amount_nano` of balance.

    `requested`: an admin asked for it here, so the wallet must cover all of it.
    """

    id: str
    payment: str
    kind: Kind
    status: Status
    amount_minor: int
    amount_nano: int
    requested: bool
    reason: str
    created_at: datetime
    stripe_object: str | None = None
    uncollected_nano: int = 0

    @property
    def is_settled(self) -> bool:
        """Whether nothing more will come of it, but for a refund that fails after all."""
        return self.status not in ("taking", "pending", "open")


class ReversalFact(msgspec.Struct, frozen=True):
    """What Stripe says of a refund or dispute. `ours` is the id our metadata in a refund names.

    `outcome`: taken (pending, or a dispute under way), confirmed, returned, none (an inquiry, nothing moved).
    """

    kind: Kind
    object: str
    ours: str
    amount_minor: int
    outcome: Literal["taken", "confirmed", "returned", "none"]
    reason: str


class Taken(msgspec.Struct, frozen=True):
    """How a reversal was paid: from the wallet, and what it lacked."""

    from_wallet_nano: int
    uncollected_nano: int


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Taken)


def share_nano(payment: Payment, amount_minor: int) -> int:
    """The balance that goes with `amount_minor` more going back.

    Each share is rounded so that the sum is right to the nano: all of a payment back is all of its credit.
    """
    gone = payment.reversed_minor + amount_minor
    due = round_half_even(payment.credit_nano * gone, payment.amount_minor)
    return max(0, due - payment.reversed_nano)


class TakeBack(msgspec.Struct, frozen=True):
    """Take a reversal's money from the wallet to `stripe_clearing`, once; decided to the same Taken again."""

    payment: Payment
    reversal: Reversal
    size: int = 1

    def want(self, wanted: Wanted) -> None:
        """The account and the platform's side."""
        wanted.customers.add(self.payment.account)
        wanted.platform.update((STRIPE_CLEARING, UNCOLLECTED))
        wanted.operations.add(self._id)

    def decide(self, books: Books) -> Taken:
        """Take it; InsufficientQuotaError when an admin asks for more than the wallet can give."""
        reversal = self.reversal
        fingerprint = hashlib.sha256(
            _ENCODER.encode((self.payment.account, reversal.amount_nano, reversal.kind))
        ).digest()
        result = books.result_of(self._id, fingerprint)
        if result is not None:
            return _DECODER.decode(result)
        customer = books.customers[self.payment.account]
        available = max(0, min(customer.wallet.balance, customer.paid_nano))
        if reversal.requested and available < reversal.amount_nano:
            raise InsufficientQuotaError(
                f"The wallet holds {format_usd(available)} USD that can go back,"
                f" of the {format_usd(reversal.amount_nano)} this takes."
            )
        taken = Taken(min(available, reversal.amount_nano), max(0, reversal.amount_nano - available))
        clearing, kind = books.accounts[STRIPE_CLEARING], TRANSFER[reversal.kind]
        # A membership no longer counts the payment that went back, and finds it by this.
        credited = credit_id(self.payment.stripe_object or "")
        if taken.from_wallet_nano:
            books.post(kind, customer.wallet, clearing, taken.from_wallet_nano, customer, credited)
        if taken.uncollected_nano:
            lacking = books.accounts[UNCOLLECTED]
            books.post(kind, lacking, clearing, taken.uncollected_nano, customer, credited)
            customer.debt_nano += taken.uncollected_nano
            customer.changed = True
        told = msgspec.structs.replace(reversal, uncollected_nano=taken.uncollected_nano)
        _tell(books, self.payment, told, _OPENING[reversal.kind])
        books.remember(self._id, fingerprint, _ENCODER.encode(taken))
        return taken

    @property
    def _id(self) -> str:
        return named_id("reversal-taken", self.reversal.id)


class GiveBack(msgspec.Struct, frozen=True):
    """Return what a reversal took, debt first, and tell it, once: the refund failed or the dispute is won."""

    payment: Payment
    reversal: Reversal
    size: int = 1

    def want(self, wanted: Wanted) -> None:
        """As the top-up that it is."""
        self._topup().want(wanted)

    def decide(self, books: Books) -> Topup:
        """As PostTopup; the event is told the first time."""
        topup = self._topup()
        first = topup.id not in books.operations
        posted = topup.decide(books)
        if first:
            _tell(books, self.payment, self.reversal, RETURNED[self.reversal.kind])
        return posted

    def _topup(self) -> PostTopup:
        reversal = self.reversal
        return PostTopup(
            named_id("reversal-returned", reversal.id),
            self.payment.account,
            reversal.amount_nano,
            f"{TRANSFER[reversal.kind]}_reversed",
            reversal.kind,
            source=STRIPE_CLEARING,
        )


class TellReversal(msgspec.Struct, frozen=True):
    """Tell that Stripe confirmed a reversal, once."""

    payment: Payment
    reversal: Reversal
    size: int = 1

    def want(self, wanted: Wanted) -> None:
        """The account, and whether it was told before."""
        wanted.customers.add(self.payment.account)
        wanted.operations.add(self._id)

    def decide(self, books: Books) -> None:
        """Tell it, or nothing."""
        fingerprint = hashlib.sha256(self._id.encode()).digest()
        if books.result_of(self._id, fingerprint) is None:
            _tell(books, self.payment, self.reversal, CONFIRMED[self.reversal.kind])
            books.remember(self._id, fingerprint, b"")

    @property
    def _id(self) -> str:
        return named_id("reversal-confirmed", self.reversal.id)


def _tell(books: Books, payment: Payment, reversal: Reversal, status: str) -> None:
    customer = books.customers[payment.account]
    about: dict[str, Any] = {
        "id": named_id("reversal-told", reversal.id, status),
        "sequence": customer.next_billing_sequence(),
        "account": payment.account,
        "payment": payment.id,
        "amount": format_amount(reversal.amount_minor, payment.currency),
        "currency": payment.currency,
        "credits": format_usd(reversal.amount_nano),
        "uncollected": format_usd(reversal.uncollected_nano),
        "status": status,
        "balance": format_usd(customer.wallet.balance),
    }
    if reversal.kind == "refund":
        books.tell(customer, PaymentRefunded(refund=reversal.id, **about))
    else:
        books.tell(customer, PaymentDisputed(dispute=reversal.id, **about))
