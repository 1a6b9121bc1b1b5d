"""What the platform owes to apps, and how it is paid out."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from billing.domain.accounts import APP_PAYOUTS
from billing.domain.errors import ExceedsPayableError
from billing.domain.hold_checks import check_app
from billing.domain.leases import is_uuid
from common.contracts.errors import InvalidRequestError
from common.contracts.holds import APP_PAYABLE
from common.contracts.payables import PayablesRead, PayoutPost, PayoutState
from common.kit.money import MAX_NANO, format_usd

if TYPE_CHECKING:
    from billing.domain.books import Books, Wanted

MAX_APPS = 500
_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(PayoutState)


class PayApp(msgspec.Struct, frozen=True):
    """Pay an app's money out, never more than it has: whoever else takes from it waits for the row."""

    request: PayoutPost
    size: int = 1

    @property
    def _payable(self) -> str:
        return APP_PAYABLE + self.request.app

    def want(self, wanted: Wanted) -> None:
        """Who is told, both sides, and whether the id was used."""
        wanted.customers.add(self.request.account)
        wanted.platform.update((self._payable, APP_PAYOUTS))
        wanted.operations.add(self.request.id)

    def decide(self, books: Books) -> PayoutState:
        """Post it, or answer as the first time; ExceedsPayableError, after which the id may be used again."""
        request = self.request
        body = hashlib.sha256(_ENCODER.encode(request)).digest()
        stored = books.result_of(request.id, body)
        if stored is not None:
            return _DECODER.decode(stored)
        payable, customer = books.accounts[self._payable], books.customers[request.account]
        if request.amount_nano > payable.balance:
            message = f"${format_usd(max(payable.balance, 0))} is owed to the app."
            raise ExceedsPayableError(message, param="amount")
        credit = customer.wallet if request.to == "wallet" else books.accounts[APP_PAYOUTS]
        books.post("app_payout", payable, credit, request.amount_nano, customer, request.id)
        if request.to == "wallet":
            customer.low = False
            customer.changed = True
        state = PayoutState(request.id, payable.balance)
        books.remember(request.id, body, _ENCODER.encode(state))
        return state


def check_payout(request: PayoutPost) -> None:
    """Raise InvalidRequestError, naming the field, unless it can be right for some app."""
    for param in ("id", "account"):
        if not is_uuid(getattr(request, param)):
            raise InvalidRequestError(f"{param} is not a UUID.", param=param)
    check_app(request.app)
    if not 0 < request.amount_nano <= MAX_NANO:
        raise InvalidRequestError("An amount is above zero and within 64 bits.", param="amount_nano")


def check_apps(request: PayablesRead) -> None:
    """Raise InvalidRequestError unless these may be asked about."""
    if len(request.apps) > MAX_APPS:
        raise InvalidRequestError(f"At most {MAX_APPS} apps at once.", param="apps")
    for app in request.apps:
        check_app(app)
