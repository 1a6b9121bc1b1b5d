"""The ledger again, in a few dictionaries: what every operation must do to the money, and nothing else.

Written from the rules (services/billing/README.md), not from the service's code; it shares only the Structs
of the operations. Amounts are nano-USD, times are those of the test's clock.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import msgspec

from billing.domain.captures import CaptureHold, ChargeHold, RefundHold
from billing.domain.holds import ExpireHolds, ExtendHold, OpenHold, VoidHold
from billing.domain.leases import CloseLease, ExpireLeases, RequestLease
from billing.domain.topups import PostTopup
from billing.domain.usage import ChargeUsage
from common.contracts import principals
from common.contracts.holds import HoldCapture, HoldCharge, HoldExtend, HoldOpen, HoldRefund, HoldVoid
from common.contracts.usage import UsageRecord

COMFORT = 20
UNLIMITED = 2**63 - 1
Outcome = tuple[Any, ...]


def refused(code: str) -> Outcome:
    """What an operation that was refused comes to."""
    return ("refused", code)


@dataclass
class Budget:
    """A spender: what it used in its window, what it holds now."""

    account: str
    limit: int | None = None
    period: str = "total"
    since: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    used: int = 0
    held: int = 0

    def left(self) -> int:
        return UNLIMITED if self.limit is None else max(0, self.limit - self.used - self.held)

    def obey(self, told: principals.Budget | None, now: datetime) -> None:
        """What the principal says of it now."""
        if told is not None and told.period != self.period:
            self.period, self.used = told.period, 0
            midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
            self.since = midnight if self.period == "day" else datetime(1970, 1, 1, tzinfo=UTC)
        self.limit = None if told is None else told.limit_nano
        self.roll(now)

    def roll(self, now: datetime) -> None:
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        if self.period == "day" and today > self.since:
            self.since, self.used = today, 0


@dataclass
class Lease:
    """granted = spent + returned + what is left."""

    account: str
    spender: str
    expires_at: datetime
    granted: int = 0
    spent: int = 0
    returned: int = 0
    sequence: int = -1
    last: tuple[str, Outcome] = ("", ())
    state: str = "open"

    @property
    def left(self) -> int:
        return self.granted - self.spent - self.returned


@dataclass
class Hold:
    """amount = captured + released + what is left."""

    account: str
    spender: str
    expires_at: datetime
    amount: int = 0
    captured: int = 0
    released: int = 0
    state: str = "open"
    shares: dict[str, int] = field(default_factory=dict)
    refunded: dict[str, int] = field(default_factory=dict)

    @property
    def left(self) -> int:
        return self.amount - self.captured - self.released


@dataclass
class ReferenceLedger:
    """`apply` carries out one operation at `now` and says what its caller is told."""

    wallets: dict[str, int] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)
    moved: dict[str, int] = field(default_factory=dict)
    spenders: dict[str, Budget] = field(default_factory=dict)
    leases: dict[str, Lease] = field(default_factory=dict)
    charged: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    topups: dict[str, tuple[PostTopup, Outcome]] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    answers: dict[str, tuple[object, Outcome]] = field(default_factory=dict)

    def apply(self, operation: object, now: datetime) -> Outcome:
        match operation:
            case PostTopup():
                outcome = self._topup(operation)
            case RequestLease():
                outcome = self._request(operation, now)
            case CloseLease():
                outcome = self._close(operation, now)
            case ExpireLeases():
                outcome = self._expire(operation)
            case ChargeUsage():
                outcome = self._charge(operation, now)
            case ExpireHolds():
                due = [self.holds[name] for name in operation.holds if name in self.holds]
                outcome = ("count", sum(self._expire_hold(hold, now) for hold in due))
            case OpenHold(opening):
                outcome = self._once(opening.hold, opening, lambda: self._open_hold(opening, now))
            case ChargeHold(charge):
                outcome = self._once(charge.open.hold, charge, lambda: self._charge_hold(charge, now))
            case ExtendHold(request) | CaptureHold(request) | VoidHold(request) | RefundHold(request):
                outcome = self._once(request.id, request, lambda: self._use_hold(request, now))
            case _:
                raise TypeError(type(operation))
        return outcome

    def _once(self, id_: str, request: object, work: Callable[[], Outcome]) -> Outcome:
        """The same id with the same body is answered as before; a refusal for want of money stays one."""
        if id_ in self.answers:
            first, answer = self.answers[id_]
            return answer if _body(first) == _body(request) else refused("conflict")
        answer = work()
        if answer[0] == "hold" or answer[1] in {"insufficient_quota", "budget_exceeded"}:
            self.answers[id_] = (request, answer)
        return answer

    def _open_hold(self, request: HoldOpen, now: datetime) -> Outcome:
        hold = self._admit(request, now)
        if isinstance(hold, Hold):
            self._reserve(hold, "hold_open", request.amount_nano)
            return self._told(hold)
        return hold

    def _charge_hold(self, request: HoldCharge, now: datetime) -> Outcome:
        """What is charged at once is never held."""
        hold, amount = self._admit(request.open, now), request.open.amount_nano
        if isinstance(hold, Hold):
            hold.amount = hold.captured = amount
            hold.shares = {share.account: share.amount_nano for share in request.credits}
            hold.state = "captured"
            self.wallets[hold.account] -= amount
            self.spenders[hold.spender].used += amount
            self._move("hold_charge", amount)
            return self._told(hold)
        return hold

    def _admit(self, request: HoldOpen, now: datetime) -> "Hold | Outcome":
        spender = self.spenders.setdefault(request.spender, Budget(request.account))
        if spender.account != request.account:
            return refused("conflict")
        spender.obey(request.budget, now)
        hold = Hold(request.account, request.spender, now + timedelta(seconds=request.ttl_s))
        lack = self._lack(hold, request.amount_nano)
        if lack is not None:
            return lack
        self.holds[request.hold] = hold
        return hold

    def _use_hold(self, request: HoldExtend | HoldCapture | HoldVoid | HoldRefund, now: datetime) -> Outcome:
        hold = self.holds.get(request.hold)
        if hold is None:
            return refused("hold_not_found")
        if isinstance(request, HoldRefund):
            return self._refund(hold, request)
        self._expire_hold(hold, now)
        if hold.state != "open":
            return refused("hold_expired" if hold.state == "expired" else f"hold_already_{hold.state}")
        if isinstance(request, HoldExtend):
            self.spenders[hold.spender].roll(now)
            lack = self._lack(hold, request.more_nano) if request.more_nano else None
            if lack is not None:
                return lack
            self._reserve(hold, "hold_extend", request.more_nano)
            hold.expires_at = max(hold.expires_at, now + timedelta(seconds=request.ttl_s))
        elif isinstance(request, HoldVoid):
            self._release(hold, "voided", "hold_void")
        else:
            amount = hold.left if request.amount_nano is None else request.amount_nano
            if amount > hold.left:
                return refused("exceeds_hold")
            spender = self.spenders[hold.spender]
            spender.roll(now)
            spender.used += amount
            spender.held -= amount
            hold.captured = amount
            hold.shares = {share.account: share.amount_nano for share in request.credits} or {
                "revenue": amount
            }
            self.held[hold.account] -= amount
            self._move("hold_capture", amount)
            self._release(hold, "captured", "hold_release")
        return self._told(hold)

    def _refund(self, hold: Hold, request: HoldRefund) -> Outcome:
        if hold.state != "captured":
            return refused("hold_not_captured")
        rest = {name: share - hold.refunded.get(name, 0) for name, share in hold.shares.items()}
        left = sum(rest.values())
        amount = left if request.amount_nano is None else request.amount_nano
        if amount > left or amount == 0:
            return refused("exceeds_capture")
        exact = {name: Fraction(amount * share, left) for name, share in rest.items()}
        parts = {name: int(part) for name, part in exact.items()}
        by_remainder = sorted(exact, key=lambda name: exact[name] - parts[name], reverse=True)
        for name in by_remainder[: amount - sum(parts.values())]:
            parts[name] += 1
        for name, part in parts.items():
            hold.refunded[name] = hold.refunded.get(name, 0) + part
        self.wallets[hold.account] += amount
        self._move("hold_refund", amount)
        return self._told(hold)

    def _lack(self, hold: Hold, amount: int) -> Outcome | None:
        if amount > self.spenders[hold.spender].left():
            return refused("budget_exceeded")  # whatever the balance, which an app must not learn from it
        return refused("insufficient_quota") if amount > self.wallets[hold.account] else None

    def _reserve(self, hold: Hold, kind: str, amount: int) -> None:
        self.wallets[hold.account] -= amount
        self.held[hold.account] += amount
        self.spenders[hold.spender].held += amount
        hold.amount += amount
        self._move(kind, amount)

    def _release(self, hold: Hold, state: str, kind: str) -> None:
        rest = hold.left
        self.held[hold.account] -= rest
        self.wallets[hold.account] += rest
        self.spenders[hold.spender].held -= rest
        hold.released += rest
        hold.state = state
        self._move(kind, rest)

    def _expire_hold(self, hold: Hold, now: datetime) -> bool:
        if hold.state != "open" or now < hold.expires_at:
            return False
        self._release(hold, "expired", "hold_expire")
        return True

    def _told(self, hold: Hold) -> Outcome:
        spender = self.spenders[hold.spender]
        amounts = (hold.amount, hold.left, hold.captured, hold.released, sum(hold.refunded.values()))
        left = None if spender.limit is None else spender.left()
        return ("hold", hold.state, *amounts, self.wallets[hold.account], left)

    def _move(self, kind: str, amount: int) -> None:
        self.moved[kind] = self.moved.get(kind, 0) + amount

    def _topup(self, topup: PostTopup) -> Outcome:
        if topup.id in self.topups:
            first, answer = self.topups[topup.id]
            return answer if first == topup else refused("conflict")
        self.wallets[topup.account] += topup.amount_nano
        self._move(topup.kind, topup.amount_nano)
        answer = ("topup", topup.amount_nano, self.wallets[topup.account])
        self.topups[topup.id] = (topup, answer)
        return answer

    def _request(self, call: RequestLease, now: datetime) -> Outcome:
        request = call.request
        until = now + timedelta(seconds=2 * call.ttl_s)
        spender = self.spenders.setdefault(request.spender, Budget(request.account))
        lease = self.leases.get(request.lease)
        if spender.account != request.account:
            return refused("conflict")
        if lease is None:
            if request.sequence:
                return refused("lease_expired")
            lease = self.leases[request.lease] = Lease(request.account, request.spender, until)
        answer = self._seen(call, lease)
        if answer is not None and answer[0] == "grant":
            lease.expires_at = until
        if answer is not None:
            return answer
        answer = self._grant(call, lease, spender, now)
        lease.sequence, lease.last, lease.expires_at = request.sequence, ("grant", answer), until
        return answer

    def _seen(self, call: RequestLease, lease: Lease) -> Outcome | None:
        """The answer that what happened before demands."""
        request = call.request
        if lease.state != "open":
            return refused("lease_expired")
        if (lease.account, lease.spender) != (request.account, request.spender):
            return refused("conflict")
        if request.sequence == lease.sequence and lease.last[0] == "grant":
            return lease.last[1]
        return refused("stale_sequence") if request.sequence <= lease.sequence else None

    def _grant(self, call: RequestLease, lease: Lease, spender: Budget, now: datetime) -> Outcome:
        request = call.request
        spender.obey(request.budget, now)
        account = request.account
        available = min(self.wallets[account], spender.left())
        granted, all_fit = 0, True
        for need in request.needs_nano:
            if granted + need <= available:
                granted += need
            else:
                all_fit = False
        held_by_holds = sum(hold.left for hold in self.holds.values() if hold.account == account)
        lone = self.held[account] - held_by_holds == lease.left and 0 < request.minimum_nano <= available
        if not all_fit and granted == 0 and lone:
            granted = min(available, request.needs_nano[0])
        if all_fit and self.wallets[account] - granted >= COMFORT * max(request.wants_nano, 1):
            granted = max(granted, min(request.wants_nano, available))
        self.wallets[account] -= granted
        self.held[account] += granted
        spender.held += granted
        lease.granted += granted
        self._move("lease_grant", granted)
        return ("grant", granted, min(self.wallets[account], spender.left()))

    def _give_back(self, lease: Lease, amount: int, kind: str) -> None:
        lease.returned += amount
        self.held[lease.account] -= amount
        self.wallets[lease.account] += amount
        self.spenders[lease.spender].held -= amount
        self._move(kind, amount)

    def _close(self, call: CloseLease, now: datetime) -> Outcome:
        request = call.request
        lease = self.leases.get(request.lease)
        if lease is None:
            return refused("lease_expired")
        if request.sequence == lease.sequence and lease.last[0] == "closed":
            return lease.last[1]
        if lease.state != "open":
            return refused("lease_expired")
        if request.sequence <= lease.sequence:
            return refused("stale_sequence")
        returned = min(request.unspent_nano, lease.left)
        self._give_back(lease, returned, "lease_return")
        answer = ("closed", returned, lease.left)
        lease.state, lease.sequence, lease.last = "closed", request.sequence, ("closed", answer)
        lease.expires_at = now + timedelta(seconds=2 * call.ttl_s)
        return answer

    def _expire(self, call: ExpireLeases) -> Outcome:
        expired = 0
        for name in call.leases:
            lease = self.leases.get(name)
            if lease is not None and lease.state != "expired" and lease.expires_at <= call.cutoff:
                self._give_back(lease, lease.left, "lease_expire")
                lease.state = "expired"
                expired += 1
        return ("count", expired)

    def _charge(self, call: ChargeUsage, now: datetime) -> Outcome:
        fresh = [record for record in call.records if record.id not in self.charged]
        count = 0
        for record in fresh:
            if record.id not in self.charged:
                self.charged[record.id] = self._pay(record, now)
                count += 1
        return ("count", count)

    def _pay(self, record: UsageRecord, now: datetime) -> tuple[int, int, int]:
        spender = self.spenders.setdefault(record.spender, Budget(record.account))
        lease = self.leases.get(record.lease)
        from_held = 0
        if lease is not None and (lease.account, lease.spender) == (record.account, record.spender):
            from_held = min(record.cost_nano, lease.left)
            lease.spent += from_held
            self.held[record.account] -= from_held
        overage = min(record.cost_nano - from_held, self.wallets[record.account])
        self.wallets[record.account] -= overage
        uncollected = record.cost_nano - from_held - overage
        if record.cost_nano:
            spender.roll(now)
            spender.used += from_held + overage
            spender.held -= from_held
        self._move("usage", from_held)
        self._move("overage", overage)
        self._move("uncollected", uncollected)
        return from_held, overage, uncollected


def _body(request: object) -> object:
    """What must be the same for an id to mean the same: not what the principal says of the spender now."""
    if isinstance(request, HoldCharge):
        return msgspec.structs.replace(request, open=_body(request.open))
    return msgspec.structs.replace(request, budget=None) if isinstance(request, HoldOpen) else request
