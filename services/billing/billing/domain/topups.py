"""Top-ups and grants: money that comes in, once per id."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from billing.domain.accounts import PROMO
from billing.domain.books import PostedOperation
from billing.domain.leases import is_uuid
from common.contracts.billing import TopupCompleted
from common.contracts.errors import ConflictError, InvalidRequestError
from common.kit.money import MAX_NANO, format_usd

if TYPE_CHECKING:
    from billing.domain.books import Books, Wanted


class Topup(msgspec.Struct, frozen=True):
    """What a top-up answers; amounts are decimal strings, `balance` the wallet's right after it."""

    id: str
    account: str
    amount: str
    balance: str
    currency: str = "USD"


_DECODER = msgspec.json.Decoder(Topup)
_ENCODER = msgspec.json.Encoder()


class PostTopup(msgspec.Struct, frozen=True):
    """Credit a wallet from `promo`; `kind` is `topup` (an admin did it) or `grant` (the bootstrap file)."""

    id: str
    account: str
    amount_nano: int
    kind: str
    reason: str
    size: int = 1

    def want(self, wanted: Wanted) -> None:
        """The account, the platform's side and whether it was posted before."""
        wanted.customers.add(self.account)
        wanted.platform.add(PROMO)
        wanted.operations.add(self.id)

    def decide(self, books: Books) -> Topup:
        """Post it, or answer as the first time; ConflictError when the id was used for something else."""
        posted = books.operations.get(self.id)
        if posted is not None:
            if posted.fingerprint != self.fingerprint():
                raise ConflictError("This id was used before with another body.")
            return _DECODER.decode(posted.result)
        customer = books.customers[self.account]
        promo = books.accounts[PROMO]
        if max(customer.wallet.credits, promo.debits) + self.amount_nano > MAX_NANO:
            raise InvalidRequestError("The amount is more than the ledger can hold.", param="amount")
        books.post(self.kind, promo, customer.wallet, self.amount_nano, customer, self.id)
        customer.low = False
        topup = Topup(
            self.id, self.account, format_usd(self.amount_nano), format_usd(customer.wallet.balance)
        )
        event = TopupCompleted(
            self.id,
            customer.next_billing_sequence(),
            self.account,
            topup.amount,
            self.reason or self.kind,
            topup.balance,
        )
        books.tell(customer, event)
        row = PostedOperation(self.id, self.fingerprint(), _ENCODER.encode(topup))
        books.operations[self.id] = row
        books.new_operations.append(row)
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
