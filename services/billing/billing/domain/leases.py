"""Leases: what is granted, what comes back, what expires (contracts.leases has the rules' reasons)."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

import msgspec

from billing.domain.allowances import renew_allowance
from billing.domain.errors import LeaseExpiredError, StaleSequenceError
from billing.domain.spenders import check_budget, tell_exhausted, watch_budget
from common.contracts.billing import BalanceLow, LeaseRecalled
from common.contracts.errors import ConflictError, InvalidRequestError
from common.contracts.leases import LeaseClose, LeaseClosed, LeaseGrant, LeaseRequest
from common.kit.ids import uuid7
from common.kit.money import MAX_NANO, format_usd

if TYPE_CHECKING:
    from billing.domain.accounts import Customer
    from billing.domain.books import Books, Wanted
    from billing.domain.spenders import Spender

COMFORT = 20
"""Headroom is granted only while the balance after the needs is this many times what a replica likes."""
RECALL_EVERY = timedelta(seconds=1)
RECALL_GRACE = timedelta(milliseconds=250)
"""How long a recall is given to bring idle money back before a shortage is called by its name."""
MAX_NEEDS = 4096

LeaseState = Literal["open", "closed", "expired"]

_GRANT_DECODER = msgspec.msgpack.Decoder(LeaseGrant)
_CLOSED_DECODER = msgspec.msgpack.Decoder(LeaseClosed)
_ENCODER = msgspec.msgpack.Encoder()
_GRANT, _CLOSED = b"g", b"c"
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def is_uuid(text: str) -> bool:
    """Whether `text` is a UUID as the suite writes it: lower case, with hyphens."""
    return _UUID.fullmatch(text) is not None


class Lease:
    """One lease; granted = spent + returned + remaining, the last of which is in the held account.

    `answer` is the last call's answer with a letter for its kind before it, for the call's repetition.
    """

    __slots__ = (
        "account",
        "answer",
        "changed",
        "expires_at",
        "granted_nano",
        "id",
        "is_new",
        "replica",
        "returned_nano",
        "sequence",
        "spender",
        "spent_nano",
        "state",
    )

    def __init__(  # noqa: PLR0913  a row
        self,
        id_: str,
        replica: str,
        account: str,
        spender: str,
        expires_at: datetime,
        *,
        granted_nano: int = 0,
        spent_nano: int = 0,
        returned_nano: int = 0,
        sequence: int = -1,
        answer: bytes = b"",
        state: LeaseState = "open",
        is_new: bool = False,
    ) -> None:
        self.id = id_
        self.replica = replica
        self.account = account
        self.spender = spender
        self.expires_at = expires_at
        self.granted_nano = granted_nano
        self.spent_nano = spent_nano
        self.returned_nano = returned_nano
        self.sequence = sequence
        self.answer = answer
        self.state: LeaseState = state
        self.is_new = is_new
        self.changed = is_new

    @property
    def remaining_nano(self) -> int:
        """What is still held for this lease."""
        return self.granted_nano - self.spent_nano - self.returned_nano

    def answered(self, sequence: int, answer: bytes, expires_at: datetime) -> None:
        """Remember the call's answer and live on until `expires_at`."""
        self.sequence = sequence
        self.answer = answer
        self.expires_at = expires_at
        self.changed = True


class RequestLease(msgspec.Struct, frozen=True):
    """Open, extend or renew. Decided to a LeaseGrant; `ttl_s` is what the replica may count on."""

    request: LeaseRequest
    ttl_s: float
    size: int = 1

    def want(self, wanted: Wanted) -> None:
        """The lease, its spender and its account."""
        request = self.request
        wanted.leases.add(request.lease)
        wanted.customers.add(request.account)
        wanted.spenders.setdefault(request.spender, (request.account, request.spender_kind))

    def decide(self, books: Books) -> LeaseGrant:
        """Grant; LeaseExpiredError, StaleSequenceError or ConflictError when the call cannot be."""
        request = self.request
        lease = books.leases.get(request.lease)
        expires_at = books.now + timedelta(seconds=2 * self.ttl_s)
        spender = books.spenders[request.spender]
        if spender.account != request.account:
            raise ConflictError("The spender belongs to another account.", param="spender")
        if lease is None:
            if request.sequence != 0:
                raise LeaseExpiredError("The lease is not known.")
            lease = Lease(
                request.lease, request.replica, request.account, request.spender, expires_at, is_new=True
            )
            books.leases[lease.id] = lease
        else:
            stored = self._repeated(lease)
            if stored is not None:
                lease.expires_at = expires_at
                lease.changed = True
                return stored
        grant = _grant(books, lease, spender, self)
        lease.answered(request.sequence, _GRANT + _ENCODER.encode(grant), expires_at)
        return grant

    def _repeated(self, lease: Lease) -> LeaseGrant | None:
        request = self.request
        if lease.state != "open":
            raise LeaseExpiredError(f"The lease is {lease.state}.")
        if lease.account != request.account or lease.spender != request.spender:
            raise ConflictError("The lease belongs to another account or spender.", param="lease")
        if request.sequence == lease.sequence and lease.answer[:1] == _GRANT:
            return _GRANT_DECODER.decode(lease.answer[1:])
        if request.sequence <= lease.sequence:
            raise StaleSequenceError(f"The lease has seen sequence {lease.sequence}.", param="sequence")
        return None


class CloseLease(msgspec.Struct, frozen=True):
    """Give back what is not spent; decided to a LeaseClosed. What is on its way stays held for 2 x TTL."""

    request: LeaseClose
    ttl_s: float
    size: int = 1

    def want(self, wanted: Wanted) -> None:
        """The lease; its account and spender come with it."""
        wanted.leases.add(self.request.lease)

    def decide(self, books: Books) -> LeaseClosed:
        """Return and close; LeaseExpiredError or StaleSequenceError when there is nothing to close."""
        request = self.request
        lease = books.leases.get(request.lease)
        if lease is None:
            raise LeaseExpiredError("The lease is not known.")
        if request.sequence == lease.sequence and lease.answer[:1] == _CLOSED:
            return _CLOSED_DECODER.decode(lease.answer[1:])
        if lease.state != "open":
            raise LeaseExpiredError(f"The lease is {lease.state}.")
        if request.sequence <= lease.sequence:
            raise StaleSequenceError(f"The lease has seen sequence {lease.sequence}.", param="sequence")
        returned = min(request.unspent_nano, lease.remaining_nano)
        _give_back(books, lease, returned, "lease_return")
        lease.state = "closed"
        closed = LeaseClosed(lease.id, returned, lease.remaining_nano)
        expires_at = books.now + timedelta(seconds=2 * self.ttl_s)
        lease.answered(request.sequence, _CLOSED + _ENCODER.encode(closed), expires_at)
        return closed


class ExpireLeases(msgspec.Struct, frozen=True):
    """Return what is left in those of `leases` that had expired by `cutoff`; decided to their number."""

    leases: tuple[str, ...]
    cutoff: datetime

    @property
    def size(self) -> int:
        """One per lease."""
        return len(self.leases)

    def want(self, wanted: Wanted) -> None:
        """The leases."""
        wanted.leases.update(self.leases)

    def decide(self, books: Books) -> int:
        """Expire; a lease renewed or expired meanwhile is left alone."""
        expired = 0
        for name in self.leases:
            lease = books.leases.get(name)
            if lease is None or lease.state == "expired" or lease.expires_at > self.cutoff:
                continue
            _give_back(books, lease, lease.remaining_nano, "lease_expire")
            lease.state = "expired"
            lease.changed = True
            expired += 1
        return expired


def check_lease_request(request: LeaseRequest) -> None:
    """Raise InvalidRequestError unless the ids are UUIDs and every amount is one the ledger can hold."""
    for param in ("lease", "account", "spender"):
        if not is_uuid(getattr(request, param)):
            raise InvalidRequestError(f"{param} is not a UUID.", param=param)
    if not 0 <= request.sequence <= MAX_NANO:
        raise InvalidRequestError("A sequence counts from 0.", param="sequence")
    if len(request.needs_nano) > MAX_NEEDS:
        raise InvalidRequestError(f"More than {MAX_NEEDS} needs.", param="needs_nano")
    if any(not 0 <= need <= MAX_NANO for need in request.needs_nano):
        raise InvalidRequestError("A need is negative or too large.", param="needs_nano")
    check_budget(request.budget)
    if not all(0 <= amount <= MAX_NANO for amount in (request.wants_nano, request.minimum_nano)):
        raise InvalidRequestError("An amount is negative or too large.")
    if "\0" in request.replica:
        raise InvalidRequestError("A name has no NUL.", param="replica")


def check_lease_close(request: LeaseClose) -> None:
    """Raise InvalidRequestError unless the id is a UUID and the numbers are not negative."""
    if not is_uuid(request.lease):
        raise InvalidRequestError("lease is not a UUID.", param="lease")
    if not 0 <= request.sequence <= MAX_NANO:
        raise InvalidRequestError("A sequence counts from 0.", param="sequence")
    if not 0 <= request.unspent_nano <= MAX_NANO:
        raise InvalidRequestError("An amount is negative or too large.", param="unspent_nano")


def _give_back(books: Books, lease: Lease, amount_nano: int, kind: str) -> None:
    if amount_nano == 0:
        return
    customer = books.customers[lease.account]
    books.post(kind, customer.held, customer.wallet, amount_nano, customer, lease.id)
    books.spenders[lease.spender].hold(-amount_nano)
    lease.returned_nano += amount_nano


def _grant(books: Books, lease: Lease, spender: Spender, call: RequestLease) -> LeaseGrant:
    request = call.request
    customer = books.customers[request.account]
    spender.take_over(request.spender_kind, request.budget, books.now)
    renew_allowance(books, customer)
    available = min(customer.wallet.balance, spender.budget_left())
    needs = tuple(filter(spender.allows_charge, request.needs_nano))
    granted, unmet = _fit(needs, available)
    reason = "" if needs == request.needs_nano else "max_charge"
    low = unmet > 0
    if unmet:
        granted = granted or _last_cents(request, lease, customer, available)
        reason = _reason(books, lease, spender, request, (granted, unmet))
    else:
        after = customer.wallet.balance - granted
        low = after < COMFORT * max(request.wants_nano, 1)
        if not low and not reason:
            granted += max(0, min(request.wants_nano - granted, available - granted))
    if granted:
        books.post("lease_grant", customer.wallet, customer.held, granted, customer, lease.id)
        spender.hold(granted)
        lease.granted_nano += granted
        watch_budget(books, spender)
    still = min(customer.wallet.balance, spender.budget_left())
    if reason == "max_charge":
        still = spender.max_charge_nano or 0
    return LeaseGrant(lease.id, request.sequence, granted, call.ttl_s, low, reason, still)


def _fit(needs_nano: tuple[int, ...], available: int) -> tuple[int, int]:
    """(granted, smallest need that did not fit or 0): each need whole or not at all, in order.

    A replica that deals the sum out by the same rule finds the same needs met.
    """
    granted = unmet = 0
    for need in needs_nano:
        if need <= available - granted:
            granted += need
        elif unmet == 0 or need < unmet:
            unmet = need
    return granted, unmet


def _last_cents(request: LeaseRequest, lease: Lease, customer: Customer, available: int) -> int:
    """What a lone stream gets when its need does not fit: all that is left, if that is worth a start."""
    alone = customer.leased_nano == lease.remaining_nano
    if not alone or request.minimum_nano == 0 or available < request.minimum_nano:
        return 0
    return min(available, request.needs_nano[0])


def _reason(
    books: Books, lease: Lease, spender: Spender, request: LeaseRequest, outcome: tuple[int, int]
) -> str:
    granted, unmet = outcome
    customer = books.customers[request.account]
    wallet_left = customer.wallet.balance - granted
    by_balance = wallet_left < unmet
    left = wallet_left if by_balance else spender.budget_left() - granted
    held = customer.leased_nano if by_balance else spender.held_nano
    elsewhere = held - lease.remaining_nano
    enough = min(unmet, request.minimum_nano) if request.minimum_nano else unmet
    if elsewhere > 0 and left + elsewhere >= enough and recall_idle(books, customer):
        return "recall"
    if not by_balance:
        tell_exhausted(books, spender, unmet)
        return "budget"
    tell_low(books, customer, wallet_left)
    return "balance"


def tell_low(books: Books, customer: Customer, available_nano: int) -> None:
    """A reservation found only `available_nano` in the wallet: told once until the next top-up."""
    if not customer.low:
        customer.low = True
        available = format_usd(available_nano)
        books.tell(customer, BalanceLow(uuid7(), customer.next_billing_sequence(), customer.id, available))


def recall_idle(books: Books, customer: Customer) -> bool:
    """Whether a recall of idle leases is under way, after starting one if the last is a while ago."""
    since = None if customer.recalled_at is None else books.now - customer.recalled_at
    if since is not None and timedelta(0) <= since < RECALL_EVERY:
        return since < RECALL_GRACE
    customer.recalled_at = books.now
    books.tell(customer, LeaseRecalled(uuid7(), customer.next_billing_sequence(), customer.id))
    return True
