"""Money that comes into a wallet, once per id: top-ups, grants, payments, redemptions, returns."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from billing.domain.accounts import PROMO, UNCOLLECTED
from billing.domain.leases import is_uuid
from common.contracts.billing import TopupCompleted
from common.contracts.errors import InvalidRequestError
from common.kit.money import MAX_NANO, format_usd

if TYPE_CHECKING:
    from billing.domain.accounts import Customer
    from billing.domain.books import Books, Wanted


class Topup(msgspec.Struct, frozen=True):
    """What a top-up answers; amounts are decimal strings, `balance` the wallet's right after it."""

    id: str
    account: str
    amount: str
    balance: str
    currency: str = "USD"


TOPUPS = frozenset(("topup", "grant", "payment", "redemption"))
"""Kinds that are new money, told as `billing.topup.completed.v1`; the others return what was taken back."""
PAYS_DEBT = frozenset(("payment", "redemption", "payment_refund_reversed", "chargeback_reversed"))
"""Kinds that pay the account's debt first; what an admin gives is theirs whatever they owe."""
_DECODER = msgspec.json.Decoder(Topup)
_ENCODER = msgspec.json.Encoder()


class PostTopup(msgspec.Struct, frozen=True):
    """Credit a wallet from the platform account `source`.

    `kind`: `topup` (an admin did it), `grant` (the bootstrap file), `payment` and its reversed refund or
    chargeback (from `stripe_clearing`), `redemption`.
    """

    id: str
    account: str
    amount_nano: int
    kind: str
    reason: str
    size: int = 1
    source: str = PROMO

    def want(self, wanted: Wanted) -> None:
        """The account, the platform's side and whether it was posted before."""
        wanted.customers.add(self.account)
        wanted.platform.update((self.source, UNCOLLECTED) if self.kind in PAYS_DEBT else (self.source,))
        wanted.operations.add(self.id)

    def decide(self, books: Books) -> Topup:
        """Post it, or answer as the first time; ConflictError when the id was used for something else."""
        result = books.result_of(self.id, self.fingerprint())
        if result is not None:
            return _DECODER.decode(result)
        customer = books.customers[self.account]
        source = books.accounts[self.source]
        if max(customer.wallet.credits, source.debits) + self.amount_nano > MAX_NANO:
            raise InvalidRequestError("The amount is more than the ledger can hold.", param="amount")
        books.post(self.kind, source, customer.wallet, self.amount_nano, customer, self.id)
        if self.kind in PAYS_DEBT:
            _pay_debt(books, customer, self)
        customer.low = False
        topup = Topup(
            self.id, self.account, format_usd(self.amount_nano), format_usd(customer.wallet.balance)
        )
        if self.kind in TOPUPS:
            event = TopupCompleted(
                self.id,
                customer.next_billing_sequence(),
                self.account,
                topup.amount,
                self.reason or self.kind,
                topup.balance,
            )
            books.tell(customer, event)
        books.remember(self.id, self.fingerprint(), _ENCODER.encode(topup))
        return topup

    def fingerprint(self) -> bytes:
        """SHA-256 of the body: what must be the same for the id to mean the same."""
        body = _ENCODER.encode((self.account, self.amount_nano, self.kind, self.reason))
        return hashlib.sha256(body).digest()


def check_topup(operation: PostTopup) -> None:
    """Raise InvalidRequestError unless the ids are UUIDs and the amount is above zero."""
    if not is_uuid(operation.id) or not is_uuid(operation.account):
        raise InvalidRequestError("account is not a UUID.", param="account")
    if not 0 < operation.amount_nano <= MAX_NANO:
        raise InvalidRequestError("The amount is above zero.", param="amount")
    if "\0" in operation.reason:
        raise InvalidRequestError("A reason has no NUL.", param="reason")


def _pay_debt(books: Books, customer: Customer, topup: PostTopup) -> None:
    paid = min(customer.debt_nano, topup.amount_nano)
    if paid:
        books.post("debt_paid", customer.wallet, books.accounts[UNCOLLECTED], paid, customer, topup.id)
        customer.debt_nano -= paid
        customer.changed = True
