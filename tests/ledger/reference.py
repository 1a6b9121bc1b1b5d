"""The ledger again, in a few dictionaries: what every operation must do to the money, and nothing else.

Written from the rules (services/billing/README.md), not from the service's code; it shares only the Structs
of the operations. Amounts are nano-USD, times are those of the test's clock.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from billing.domain.leases import CloseLease, ExpireLeases, RequestLease
from billing.domain.topups import PostTopup
from billing.domain.usage import ChargeUsage
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
class ReferenceLedger:
    """`apply` carries out one operation at `now` and says what its caller is told."""

    wallets: dict[str, int] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)
    moved: dict[str, int] = field(default_factory=dict)
    spenders: dict[str, Budget] = field(default_factory=dict)
    leases: dict[str, Lease] = field(default_factory=dict)
    charged: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    topups: dict[str, tuple[PostTopup, Outcome]] = field(default_factory=dict)

    def apply(self, operation: object, now: datetime) -> Outcome:
        match operation:
            case PostTopup():
                return self._topup(operation)
            case RequestLease():
                return self._request(operation, now)
            case CloseLease():
                return self._close(operation, now)
            case ExpireLeases():
                return self._expire(operation)
            case ChargeUsage():
                return self._charge(operation, now)
        raise TypeError(type(operation))

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
        if request.budget is None:
            spender.limit = None
        else:
            if request.budget.period != spender.period:
                spender.period, spender.used = request.budget.period, 0
                midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
                spender.since = midnight if spender.period == "day" else datetime(1970, 1, 1, tzinfo=UTC)
            spender.limit = request.budget.limit_nano
        spender.roll(now)
        account = request.account
        available = min(self.wallets[account], spender.left())
        granted, all_fit = 0, True
        for need in request.needs_nano:
            if granted + need <= available:
                granted += need
            else:
                all_fit = False
        lone = self.held[account] == lease.left and 0 < request.minimum_nano <= available
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
