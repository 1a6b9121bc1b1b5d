"""Refunds of charges: what a usage record was charged goes back to the wallet, all of it or a part."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from billing.domain.accounts import REVENUE, UNCOLLECTED
from billing.domain.errors import ExceedsChargeError
from common.contracts.billing import ChargeRefunded
from common.contracts.errors import InvalidRequestError
from common.kit.ids import named_id
from common.kit.money import MAX_NANO, format_usd

if TYPE_CHECKING:
    from billing.domain.books import Books, Wanted
    from billing.domain.statements import ChargedUsage

_ENCODER = msgspec.json.Encoder()


class Refund(msgspec.Struct, frozen=True):
    """What a refund answers: decimal strings; `refunded` of the record in all, `free` as free allowance."""

    id: str
    record: str
    account: str
    amount: str
    free: str
    refunded: str
    balance: str
    reason: str
    currency: str = "USD"


_DECODER = msgspec.json.Decoder(Refund)


class Refunded(msgspec.Struct, frozen=True):
    """What was given back of one record so far, and what of it as free allowance."""

    amount_nano: int = 0
    free_nano: int = 0


class RefundedCharge(msgspec.Struct, frozen=True):
    """One refund as it is kept."""

    id: str
    charge: ChargedUsage
    amount_nano: int
    free_nano: int
    reason: str


class RefundCharge(msgspec.Struct, frozen=True):
    """Give back `amount_nano` (None: all that is left) of `charge`, which never changes once it is written.

    Paid money comes back before what the free allowance paid, which comes back as free allowance. What the
    wallet could not pay is nobody's money: when the last of the charge is given back it returns from
    `revenue` to `uncollected`. The spender's budget is not given back.
    """

    id: str
    charge: ChargedUsage
    amount_nano: int | None
    reason: str
    size: int = 1

    def want(self, wanted: Wanted) -> None:
        """The account, the platform's side, what was given back before, whether this was."""
        wanted.customers.add(self.charge.account)
        wanted.platform.update((REVENUE, UNCOLLECTED))
        wanted.refunds.add(self.charge.id)
        wanted.operations.add(self.id)

    def decide(self, books: Books) -> Refund:
        """Post it, or answer as the first time; ExceedsChargeError when less is left."""
        body = hashlib.sha256(_ENCODER.encode((self.charge.id, self.amount_nano, self.reason))).digest()
        stored = books.result_of(self.id, body)
        if stored is not None:
            return _DECODER.decode(stored)
        charge = self.charge
        before = books.refunded.get(charge.id, Refunded())
        left = charge.from_held_nano + charge.overage_nano - before.amount_nano
        amount = left if self.amount_nano is None else self.amount_nano
        if amount > left or amount == 0:
            raise ExceedsChargeError(f"${format_usd(left)} of the charge is left to refund.", param="amount")
        customer, revenue = books.customers[charge.account], books.accounts[REVENUE]
        books.transfer("refund", revenue, customer.wallet, amount, customer, charge.id, self.id)
        if amount == left and charge.uncollected_nano:
            source, id_ = books.accounts[UNCOLLECTED], named_id("uncollected_refund", charge.id)
            books.transfer(
                "uncollected_refund", revenue, source, charge.uncollected_nano, customer, charge.id, id_
            )
        free = max(0, amount - (left - (charge.free_nano - before.free_nano)))
        customer.free_nano += free
        after = Refunded(before.amount_nano + amount, before.free_nano + free)
        books.refunded[charge.id] = after
        books.new_refunds.append(RefundedCharge(self.id, charge, amount, free, self.reason))
        refund = Refund(
            id=self.id,
            record=charge.id,
            account=customer.id,
            amount=format_usd(amount),
            free=format_usd(free),
            refunded=format_usd(after.amount_nano),
            balance=format_usd(customer.wallet.balance),
            reason=self.reason,
        )
        books.tell(
            customer,
            ChargeRefunded(
                id=self.id,
                sequence=customer.next_billing_sequence(),
                account=customer.id,
                record=charge.id,
                spender=charge.spender,
                amount=refund.amount,
                refunded=refund.refunded,
                free=refund.free,
                reason=self.reason,
                balance=refund.balance,
                held=format_usd(customer.held.balance),
            ),
        )
        books.remember(self.id, body, _ENCODER.encode(refund))
        return refund


def check_refund_amount(amount_nano: int | None) -> None:
    """Raise InvalidRequestError unless it is above zero, or None for all that is left."""
    if amount_nano is not None and not 0 < amount_nano <= MAX_NANO:
        raise InvalidRequestError("The amount is above zero.", param="amount")
