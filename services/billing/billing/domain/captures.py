"""Captures: what is taken from a hold, for whom, and what of it is given back (contracts.holds)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from billing.domain.accounts import REVENUE
from billing.domain.errors import (
    ExceedsCaptureError,
    ExceedsHoldError,
    HoldNotCapturedError,
    HoldNotFoundError,
    HoldNotPaidOnlyError,
)
from billing.domain.holds import (
    Hold,
    OpenHold,
    admit,
    again,
    count_held,
    event_head,
    fingerprint,
    live_hold,
    opening_body,
    remember,
    resolve,
)
from billing.domain.spenders import watch_budget
from common.contracts.billing import HoldCaptured, HoldRefunded
from common.contracts.errors import InvalidRequestError
from common.contracts.holds import (
    APP_PAYABLE,
    HoldCapture,
    HoldCharge,
    HoldCredit,
    HoldRefund,
    HoldState,
)
from common.kit.money import format_usd

if TYPE_CHECKING:
    from billing.domain.accounts import Account
    from billing.domain.books import Books, Wanted


class CaptureHold(msgspec.Struct, frozen=True):
    """Take all or a part, for one or several ledger accounts, and release the rest."""

    request: HoldCapture
    size: int = 1

    def want(self, wanted: Wanted) -> None:
        """The hold, who gets the money, and whether the id was used."""
        wanted.holds.add(self.request.hold)
        wanted.counters.add(REVENUE)
        wanted.counters.update(credit.account for credit in self.request.credits)
        wanted.operations.add(self.request.id)

    def decide(self, books: Books) -> HoldState:
        """Resolve the hold; a share for an app takes paid money and the hold's own app."""
        request = self.request
        body = fingerprint("capture", request.hold, request.amount_nano, request.credits)
        stored = books.result_of(request.id, body)
        if stored is not None:
            return again(stored)
        hold = live_hold(books, request.hold)
        amount = hold.remaining_nano if request.amount_nano is None else request.amount_nano
        _check_credits(hold, amount, request)
        customer = books.customers[hold.account]
        _take(books, hold, customer.held, "hold_capture", request.credits or (HoldCredit(REVENUE, amount),))
        count_held(books, hold, -amount)
        resolve(books, hold, "captured", "hold_release")
        books.tell(customer, _captured(books, hold))
        return remember(books, request.id, body, hold, hold.credits)


class ChargeHold(msgspec.Struct, frozen=True):
    """A hold that is captured as it is opened: nothing is set aside in between. `waits` as for OpenHold."""

    request: HoldCharge
    waits: bool = True
    size: int = 1

    def want(self, wanted: Wanted) -> None:
        """As OpenHold, and who gets the money."""
        OpenHold(self.request.open).want(wanted)
        wanted.counters.update(credit.account for credit in self.request.credits)

    def decide(self, books: Books) -> HoldState:
        """Take all of it out of the wallet, or refuse for ever; hold_checks.check_charge did the rest."""
        request, opening = self.request, self.request.open
        body = fingerprint("charge", *opening_body(opening), request.id, request.credits)
        stored = books.result_of(opening.hold, body)
        if stored is not None:
            return again(stored)
        hold = admit(books, opening, body, waits=self.waits)
        customer = books.customers[hold.account]
        hold.amount_nano = opening.amount_nano
        _take(books, hold, customer.wallet, "hold_charge", request.credits)
        watch_budget(books, books.spenders[hold.spender])
        resolve(books, hold, "captured", "hold_release")
        books.tell(customer, _captured(books, hold, at_once=True))
        return remember(books, hold.id, body, hold, hold.credits)


class RefundHold(msgspec.Struct, frozen=True):
    """Give back what was captured, or a part of it."""

    request: HoldRefund
    size: int = 1

    def want(self, wanted: Wanted) -> None:
        """The hold, those it was captured for, and whether the id was used."""
        wanted.holds.add(self.request.hold)
        wanted.operations.add(self.request.id)

    def decide(self, books: Books) -> HoldState:
        """Take it back from who got it, in proportion; paid money comes back before free money."""
        request = self.request
        body = fingerprint("refund", request.hold, request.amount_nano, request.reason)
        stored = books.result_of(request.id, body)
        if stored is not None:
            return again(stored)
        hold = books.holds.get(request.hold)
        if hold is None:
            raise HoldNotFoundError("There is no such hold.", param="hold")
        if hold.state != "captured":
            raise HoldNotCapturedError(f"The hold is {hold.state}.", param="hold")
        left = hold.captured_nano - hold.refunded_nano
        amount = left if request.amount_nano is None else request.amount_nano
        if amount > left or amount == 0:
            message = f"${format_usd(left)} of the hold's capture is left to refund."
            raise ExceedsCaptureError(message, param="amount_nano")
        customer = books.customers[hold.account]
        rest = {name: share - hold.refunds.get(name, 0) for name, share in hold.credits.items()}
        debits = {name: share for name, share in apportion(amount, rest).items() if share}
        for name, share in debits.items():
            books.transfer("hold_refund", books.accounts[name], customer.wallet, share, customer, hold.id)
        hold.refunds = {name: hold.refunds.get(name, 0) + debits.get(name, 0) for name in hold.credits}
        free = max(0, amount - (left - (hold.free_nano - hold.refunded_free_nano)))
        customer.free_nano += free
        customer.changed = hold.changed = True
        hold.refunded_nano += amount
        hold.refunded_free_nano += free
        books.tell(customer, _refunded(books, hold, request, (amount, free), debits))
        return remember(books, request.id, body, hold, debits)


def apportion(amount_nano: int, shares: dict[str, int]) -> dict[str, int]:
    """`amount_nano` from `shares` in proportion to them, rounded down; what is left over comes one each from
    the largest remainders, the first named first. Never more than a share, and of all shares exactly all.
    """
    total = sum(shares.values())
    parts = {name: amount_nano * share // total for name, share in shares.items()}
    remainders = {name: amount_nano * share % total for name, share in shares.items()}
    over = amount_nano - sum(parts.values())
    for name in sorted(remainders, key=lambda name: -remainders[name])[:over]:
        parts[name] += 1
    return parts


def _take(books: Books, hold: Hold, source: Account, kind: str, credits_: tuple[HoldCredit, ...]) -> None:
    """Move the capture from `source` to those who get it. A free allowance pays first where it may."""
    customer = books.customers[hold.account]
    hold.credits = {credit.account: credit.amount_nano for credit in credits_}
    for name, share in hold.credits.items():
        books.transfer(kind, source, books.accounts[name], share, customer, hold.id)
    hold.captured_nano = sum(hold.credits.values())
    hold.free_nano = 0 if hold.paid_only else customer.spend_free(hold.captured_nano)
    books.spenders[hold.spender].use(hold.captured_nano, books.now)


def _check_credits(hold: Hold, amount_nano: int, request: HoldCapture) -> None:
    if amount_nano > hold.remaining_nano:
        message = f"${format_usd(hold.remaining_nano)} is held, ${format_usd(amount_nano)} is to be taken."
        raise ExceedsHoldError(message, param="amount_nano")
    if not request.credits:
        return
    if sum(credit.amount_nano for credit in request.credits) != amount_nano:
        raise InvalidRequestError("The credits do not add up to the amount.", param="credits")
    for credit in request.credits:
        if not credit.account.startswith(APP_PAYABLE):
            continue
        if not hold.app or credit.account != APP_PAYABLE + hold.app:
            raise InvalidRequestError("Only the hold's own app is credited.", param="credits")
        if not hold.paid_only:
            raise HoldNotPaidOnlyError("A free allowance may pay for this hold.", param="credits")


def _captured(books: Books, hold: Hold, *, at_once: bool = False) -> HoldCaptured:
    return HoldCaptured(
        **event_head(books, hold),
        amount=format_usd(hold.captured_nano),
        released=format_usd(hold.released_nano),
        free=format_usd(hold.free_nano),
        credits={name: format_usd(share) for name, share in hold.credits.items()},
        at_once=at_once,
    )


def _refunded(
    books: Books, hold: Hold, request: HoldRefund, amounts: tuple[int, int], debits: dict[str, int]
) -> HoldRefunded:
    amount, free = amounts
    return HoldRefunded(
        **event_head(books, hold, request.id),
        amount=format_usd(amount),
        refunded=format_usd(hold.refunded_nano),
        free=format_usd(free),
        debits={name: format_usd(share) for name, share in debits.items()},
        reason=request.reason,
    )
