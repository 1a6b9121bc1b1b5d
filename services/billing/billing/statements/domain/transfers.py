"""Balance history: what moved an account's money, and what it was at a moment."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from billing.domain.accounts import held_name, wallet_name
from common.contracts.errors import InvalidRequestError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_DIGITS = 18


class TransferPlace(NamedTuple):
    """A place in an account's list of transfers, newest first."""

    posted_at: datetime
    position: int

    def cursor(self) -> str:
        """As clients pass it back: microseconds since 1970, a hyphen, the position in the ledger."""
        return f"{(self.posted_at - _EPOCH) // timedelta(microseconds=1)}-{self.position}"


NEWEST = TransferPlace(datetime(9999, 1, 1, tzinfo=UTC), 0)


class TransferQuery(msgspec.Struct, frozen=True):
    """What is wanted of an account's history; None is anything. `since` up to and without `until`."""

    account: str
    kind: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class PostedTransfer(msgspec.Struct, frozen=True):
    """A transfer as the ledger wrote it, in the order the reader selects; nano-USD.

    `debit_after` and `credit_after` are the balances of the two accounts right after it.
    """

    id: str
    position: int
    posted_at: datetime
    kind: str
    amount_nano: int
    debit: str
    credit: str
    debit_after: int
    credit_after: int
    reference: str

    @property
    def place(self) -> TransferPlace:
        """Where it is in its account's list."""
        return TransferPlace(self.posted_at, self.position)

    def after(self, name: str) -> int | None:
        """The balance of the ledger account `name` after it; None when it was not touched."""
        if self.debit == name:
            return self.debit_after
        return self.credit_after if self.credit == name else None

    def change_nano(self, account: str) -> int:
        """What it changed of the customer's money, wallet and held together; 0 when it moved within them."""
        own = (wallet_name(account), held_name(account))
        return self.amount_nano * ((self.credit in own) - (self.debit in own))


class Balance(msgspec.Struct, frozen=True):
    """What a customer had at a moment, nano-USD."""

    wallet_nano: int
    held_nano: int


def parse_place(text: str | None) -> TransferPlace:
    """The place of an `after` cursor, NEWEST without one; InvalidRequestError when it is none."""
    if text is None:
        return NEWEST
    micros, _, position = text.partition("-")
    if not all(part.isascii() and part.isdigit() and len(part) <= _MAX_DIGITS for part in (micros, position)):
        raise InvalidRequestError("Not a cursor of this list.", param="after")
    try:
        return TransferPlace(_EPOCH + timedelta(microseconds=int(micros)), int(position))
    except OverflowError:
        raise InvalidRequestError("Not a cursor of this list.", param="after") from None
