"""Holds: reserved once, resolved at most once (contracts.holds has the rules)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from billing.domain.accounts import LONG_AGO
from billing.domain.allowances import renew_allowance
from billing.domain.errors import (
    HoldCapturedError,
    HoldExpiredError,
    HoldNotFoundError,
    HoldVoidedError,
    MoneyRecalledError,
)
from billing.domain.leases import recall_idle, tell_low
from billing.domain.spenders import tell_exhausted, watch_budget
from common.contracts.billing import HoldExpired, HoldOpened, HoldVoided
from common.contracts.errors import (
    BudgetExceededError,
    ConflictError,
    InsufficientQuotaError,
    MaxChargeError,
    ServiceError,
)
from common.contracts.holds import HoldCredit, HoldExtend, HoldOpen, HoldState, HoldVoid
from common.contracts.rpc import RpcError
from common.kit.ids import uuid7
from common.kit.money import format_usd

if TYPE_CHECKING:
    from billing.domain.accounts import Customer
    from billing.domain.books import Books, Wanted

State = Literal["open", "captured", "voided", "expired"]

_ENCODER = msgspec.msgpack.Encoder()
_STATE_DECODER = msgspec.msgpack.Decoder(HoldState)
_REFUSAL_DECODER = msgspec.msgpack.Decoder(RpcError)
_JSON_ENCODER = msgspec.json.Encoder(order="deterministic")
_DONE, _REFUSED = b"=", b"!"
_RESOLVED: dict[str, type[ConflictError]] = {
    "captured": HoldCapturedError,
    "voided": HoldVoidedError,
    "expired": HoldExpiredError,
}


class Hold(msgspec.Struct, gc=False):
    """One hold: amount = captured + released + remaining, the last of which is in the held account.

    `credits` is what each ledger account got of the capture, `refunds` what each gave back of it. `free_nano`
    is what of the capture a free allowance paid, `refunded_free_nano` what of that came back.
    """

    id: str
    account: str
    spender: str
    amount_nano: int
    opened_at: datetime
    expires_at: datetime
    purpose: str = ""
    reference: str = ""
    app: str = ""
    paid_only: bool = False
    state: State = "open"
    captured_nano: int = 0
    released_nano: int = 0
    refunded_nano: int = 0
    free_nano: int = 0
    refunded_free_nano: int = 0
    credits: dict[str, int] = {}
    refunds: dict[str, int] = {}
    resolved_at: datetime | None = None
    is_new: bool = False
    changed: bool = False

    @property
    def remaining_nano(self) -> int:
        """What is still held."""
        return self.amount_nano - self.captured_nano - self.released_nano

    @property
    def credits_json(self) -> str:
        """`credits` as the database keeps them."""
        return _JSON_ENCODER.encode(self.credits).decode()

    @property
    def refunds_json(self) -> str:
        """`refunds` as the database keeps them."""
        return _JSON_ENCODER.encode(self.refunds).decode()


class OpenHold(msgspec.Struct, frozen=True):
    """Reserve. With `waits`, a reservation that idle leases may cover calls them back: MoneyRecalledError."""

    request: HoldOpen
    waits: bool = True
    size: int = 1

    def want(self, wanted: Wanted) -> None:
        """The account, the spender, and whether the id was used."""
        request = self.request
        wanted.customers.add(request.account)
        wanted.spenders.setdefault(request.spender, (request.account, request.spender_kind))
        wanted.operations.add(request.hold)

    def decide(self, books: Books) -> HoldState:
        """Hold the whole amount, or refuse for ever."""
        request = self.request
        body = fingerprint("open", *opening_body(request))
        stored = books.result_of(request.hold, body)
        if stored is not None:
            return again(stored)
        hold = admit(books, request, body, waits=self.waits)
        _reserve(books, hold, "hold_open", request.amount_nano)
        books.tell(books.customers[hold.account], _opened(books, hold, extended=False))
        return remember(books, hold.id, body, hold)


class ExtendHold(msgspec.Struct, frozen=True):
    """Hold more or for longer. `waits` as for OpenHold."""

    request: HoldExtend
    waits: bool = True
    size: int = 1

    def want(self, wanted: Wanted) -> None:
        """The hold, and whether the id was used."""
        wanted.holds.add(self.request.hold)
        wanted.operations.add(self.request.id)

    def decide(self, books: Books) -> HoldState:
        """Reserve more of the same, and never end sooner than before."""
        request = self.request
        body = fingerprint("extend", request.hold, request.more_nano, request.ttl_s)
        stored = books.result_of(request.id, body)
        if stored is not None:
            return again(stored)
        hold = live_hold(books, request.hold)
        if request.more_nano:
            books.spenders[hold.spender].roll(books.now)
            refusal = _shortage(books, hold, request.more_nano, waits=self.waits)
            if refusal is not None:
                raise _remember_refusal(books, request.id, body, refusal)
            _reserve(books, hold, "hold_extend", request.more_nano)
        hold.expires_at = max(hold.expires_at, books.now + timedelta(seconds=request.ttl_s))
        hold.changed = True
        books.tell(books.customers[hold.account], _opened(books, hold, extended=True))
        return remember(books, request.id, body, hold)


class VoidHold(msgspec.Struct, frozen=True):
    """Give all of it back."""

    request: HoldVoid
    size: int = 1

    def want(self, wanted: Wanted) -> None:
        """The hold, and whether the id was used."""
        wanted.holds.add(self.request.hold)
        wanted.operations.add(self.request.id)

    def decide(self, books: Books) -> HoldState:
        """Resolve the hold."""
        body = fingerprint("void", self.request.hold)
        stored = books.result_of(self.request.id, body)
        if stored is not None:
            return again(stored)
        hold = live_hold(books, self.request.hold)
        resolve(books, hold, "voided", "hold_void")
        released = format_usd(hold.released_nano)
        books.tell(books.customers[hold.account], HoldVoided(**event_head(books, hold), released=released))
        return remember(books, self.request.id, body, hold)


class ExpireHolds(msgspec.Struct, frozen=True):
    """Return what is in those of `holds`, in this order, whose time is over; decided to their number."""

    holds: tuple[str, ...]

    @property
    def size(self) -> int:
        """One per hold."""
        return len(self.holds)

    def want(self, wanted: Wanted) -> None:
        """The holds."""
        wanted.holds.update(self.holds)

    def decide(self, books: Books) -> int:
        """Expire; a hold that was extended or resolved meanwhile is left alone."""
        found = (books.holds[id_] for id_ in self.holds if id_ in books.holds)
        return sum(_expire(books, hold) for hold in found)


def opening_body(request: HoldOpen) -> tuple[object, ...]:
    """What must be the same for an id to mean the same hold."""
    return (
        request.account, request.spender, request.amount_nano, request.ttl_s, request.purpose,
        request.reference, request.app, request.paid_only,
    )  # fmt: skip


def admit(books: Books, request: HoldOpen, body: bytes, *, waits: bool) -> Hold:
    """A new hold of nothing yet, for which there is `amount_nano`. A refusal is remembered with `body`."""
    spender = books.spenders[request.spender]
    if spender.account != request.account:
        raise ConflictError("The spender belongs to another account.", param="spender")
    spender.take_over(request.spender_kind, request.budget, books.now)
    hold = Hold(
        id=request.hold,
        account=request.account,
        spender=request.spender,
        amount_nano=0,
        opened_at=books.now,
        expires_at=books.now + timedelta(seconds=request.ttl_s),
        purpose=request.purpose,
        reference=request.reference,
        app=request.app,
        paid_only=request.paid_only,
        is_new=True,
    )
    refusal = _shortage(books, hold, request.amount_nano, waits=waits)
    if refusal is not None:
        raise _remember_refusal(books, hold.id, body, refusal)
    books.holds[hold.id] = hold
    return hold


def live_hold(books: Books, id_: str) -> Hold:
    """The open hold, or the error that says how it was resolved. One whose time is over is expired at once,
    so that the answer stays true even if the clock goes back.
    """
    hold = books.holds.get(id_)
    if hold is None:
        raise HoldNotFoundError("There is no such hold.", param="hold")
    _expire(books, hold)
    error = _RESOLVED.get(hold.state)
    if error is not None:
        raise error(f"The hold was {hold.state} before.", param="hold")
    return hold


def resolve(books: Books, hold: Hold, state: State, kind: str) -> None:
    """Give what is still held back to the wallet by a transfer of `kind`; the hold is over."""
    rest = hold.remaining_nano
    customer = books.customers[hold.account]
    if rest:
        books.transfer(kind, customer.held, customer.wallet, rest, customer, hold.id)
        hold.released_nano += rest
        count_held(books, hold, -rest)
    hold.state = state
    hold.resolved_at = books.now
    hold.changed = True


def count_held(books: Books, hold: Hold, change_nano: int) -> None:
    """What the hold has of the money of its account and spender changed."""
    customer = books.customers[hold.account]
    customer.holds_nano += change_nano
    if hold.paid_only:
        customer.paid_holds_nano += change_nano
    customer.changed = True
    books.spenders[hold.spender].hold(change_nano)


def fingerprint(*body: object) -> bytes:
    """SHA-256 of what must be the same for an id to mean the same."""
    return hashlib.sha256(_ENCODER.encode(body)).digest()


def remember(
    books: Books, id_: str, body: bytes, hold: Hold, shares: Mapping[str, int] | None = None
) -> HoldState:
    """The answer, which the same id with the same body gets from now on: the hold's own as long as it is."""
    spender = books.spenders[hold.spender]
    state = HoldState(
        hold=hold.id,
        account=hold.account,
        state=hold.state,
        amount_nano=hold.amount_nano,
        held_nano=hold.remaining_nano,
        captured_nano=hold.captured_nano,
        released_nano=hold.released_nano,
        refunded_nano=hold.refunded_nano,
        free_nano=hold.free_nano,
        balance_nano=books.customers[hold.account].wallet.balance,
        budget_left_nano=None if spender.budget_nano is None else spender.budget_left(),
        expires_at_ms=(hold.expires_at - LONG_AGO) // timedelta(milliseconds=1),
        shares=tuple(HoldCredit(*share) for share in shares.items()) if shares else (),
    )
    books.remember(id_, body, _DONE + _ENCODER.encode(state), temporary=id_ != hold.id)
    return state


def again(stored: bytes) -> HoldState:
    """What was answered the first time, an error included."""
    if stored[:1] == _DONE:
        return _STATE_DECODER.decode(stored[1:])
    refusal = _REFUSAL_DECODER.decode(stored[1:])
    raise ServiceError(refusal.message, param=refusal.param, code=refusal.code, status=refusal.status)


def event_head(books: Books, hold: Hold, id_: str = "") -> dict[str, Any]:
    """The fields that all events of holds begin and end with."""
    customer = books.customers[hold.account]
    return {
        "id": id_ or uuid7(),
        "sequence": customer.next_billing_sequence(),
        "account": hold.account,
        "hold": hold.id,
        "spender": hold.spender,
        "purpose": hold.purpose,
        "reference": hold.reference,
        "app": hold.app,
        "balance": format_usd(customer.wallet.balance),
        "held": format_usd(customer.held.balance),
    }


def _expire(books: Books, hold: Hold) -> bool:
    """Whether the hold's time was over before it was resolved; it is then returned and told."""
    if hold.state != "open" or books.now < hold.expires_at:
        return False
    resolve(books, hold, "expired", "hold_expire")
    released = format_usd(hold.released_nano)
    books.tell(books.customers[hold.account], HoldExpired(**event_head(books, hold), released=released))
    return True


def _reserve(books: Books, hold: Hold, kind: str, amount_nano: int) -> None:
    customer = books.customers[hold.account]
    books.transfer(kind, customer.wallet, customer.held, amount_nano, customer, hold.id)
    hold.amount_nano += amount_nano
    hold.changed = True
    count_held(books, hold, amount_nano)
    watch_budget(books, books.spenders[hold.spender])


def _shortage(books: Books, hold: Hold, amount_nano: int, *, waits: bool) -> ServiceError | None:
    """Why `amount_nano` more cannot be held, None when it can. MoneyRecalledError: not now, maybe soon.

    What does not fit the budget is refused for that, whatever the balance: an app that asks for more than it
    was allowed must not learn from the answer how much there is.
    """
    customer, spender = books.customers[hold.account], books.spenders[hold.spender]
    renew_allowance(books, customer)
    if not spender.allows_charge(hold.amount_nano + amount_nano):
        limit, asked = format_usd(spender.max_charge_nano or 0), format_usd(hold.amount_nano + amount_nano)
        return MaxChargeError(f"A single charge may be at most ${limit} here; this one is ${asked}.")
    available = _available(customer, hold, 0)
    by_balance, by_budget = available < amount_nano, spender.budget_left() < amount_nano
    if not (by_balance or by_budget):
        return None
    returning = min(customer.leased_nano, spender.held_nano) if by_budget else customer.leased_nano
    enough = _available(customer, hold, customer.leased_nano) >= amount_nano
    enough = enough and (not by_budget or spender.budget_left() + returning >= amount_nano)
    if waits and returning > 0 and enough and recall_idle(books, customer):
        raise MoneyRecalledError("Relays are returning idle money.")
    if not by_budget:
        tell_low(books, customer, available)
        return _insufficient(hold, amount_nano, available)
    tell_exhausted(books, spender, amount_nano)
    left = format_usd(spender.budget_left())
    return BudgetExceededError(f"${format_usd(amount_nano)} is to be held; ${left} of the budget is left.")


def _available(customer: Customer, hold: Hold, returning_nano: int) -> int:
    """What the hold could take if `returning_nano` of held came back to the wallet."""
    wallet = customer.wallet.balance + returning_nano
    return min(wallet, customer.paid_nano) if hold.paid_only else wallet


def _insufficient(hold: Hold, amount_nano: int, available_nano: int) -> InsufficientQuotaError:
    paid = " that is no free allowance" if hold.paid_only else ""
    return InsufficientQuotaError(
        f"${format_usd(amount_nano)} is to be held; ${format_usd(available_nano)}{paid} is available."
        " Top up the account (POST /api/billing/topups, or ask your administrator)."
    )


def _remember_refusal(books: Books, id_: str, body: bytes, refusal: ServiceError) -> ServiceError:
    error = RpcError(refusal.error_code, refusal.message, refusal.error_status, refusal.param)
    books.remember(id_, body, _REFUSED + _ENCODER.encode(error), temporary=True)
    return refusal


def _opened(books: Books, hold: Hold, *, extended: bool) -> HoldOpened:
    return HoldOpened(
        **event_head(books, hold),
        amount=format_usd(hold.remaining_nano),
        extended=extended,
        expires_at=hold.expires_at.astimezone(UTC).isoformat(timespec="milliseconds"),
    )
