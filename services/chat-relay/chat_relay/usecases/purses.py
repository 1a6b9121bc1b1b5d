"""One spender's money in this replica: its present lease and who waits for more."""

import asyncio
from collections import deque
from collections.abc import Iterable

from chat_relay.domain.leases import Lease, Reservation, Spend
from common.contracts.errors import (
    BudgetExceededError,
    InsufficientQuotaError,
    MaxChargeError,
    ServiceError,
)
from common.contracts.leases import LeaseGrant
from common.contracts.principals import Budget, Principal, SpenderKind
from common.kit.money import MAX_NANO, format_usd


class Waiter:
    """A request that waits for money. `minimum_nano` > 0: a stream that would start with as little, if no
    reservation is open but the `own` it has already (1 for a stream that grows).
    """

    __slots__ = ("future", "minimum_nano", "need_nano", "own", "tries")

    def __init__(
        self, need_nano: int, minimum_nano: int, own: int, future: "asyncio.Future[Reservation]"
    ) -> None:
        self.need_nano = need_nano
        self.minimum_nano = minimum_nano
        self.own = own
        self.future = future
        self.tries = 0


class Purse:
    """State of one (account, spender); the rules are in `leases`."""

    __slots__ = (
        "account",
        "ahead_after_s",
        "budget",
        "flight",
        "lease",
        "liked_nano",
        "renew",
        "spend",
        "spender",
        "spender_kind",
        "timer",
        "used_s",
        "waiters",
    )

    def __init__(self, account: str, spender: str, spender_kind: SpenderKind, now_s: float) -> None:
        self.account = account
        self.spender = spender
        self.spender_kind: SpenderKind = spender_kind
        self.budget: Budget | None = None
        self.lease: Lease | None = None
        self.waiters: deque[Waiter] = deque()
        self.flight: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.spend = Spend(now_s)
        self.liked_nano = 0
        self.ahead_after_s = 0.0
        self.renew = False
        self.used_s = now_s

    def alone(self, waiter: Waiter, lease: Lease) -> bool:
        """Whether the waiter may have the last cents: it takes a part, and nobody else has a reservation."""
        return waiter.minimum_nano > 0 and lease.open_reservations == waiter.own

    def forget(self, waiter: Waiter) -> None:
        """Take a waiter from the queue."""
        if self.waiters and self.waiters[0] is waiter:
            self.waiters.popleft()
        elif waiter in self.waiters:
            self.waiters.remove(waiter)

    def refuse(self, waiters: Iterable[Waiter], error: ServiceError) -> None:
        """Tell waiters that there is nothing for them."""
        for waiter in waiters:
            self.forget(waiter)
            if not waiter.future.done():
                waiter.future.set_exception(error)


def most_at_once(principal: Principal) -> int:
    """Nano-USD that one request of the spender may reserve."""
    budget = principal.limits.budget
    return MAX_NANO if budget is None or budget.max_charge_nano is None else budget.max_charge_nano


def too_much_at_once(need_nano: int, most_nano: int) -> MaxChargeError:
    """The refusal of a request that may cost more than the spender may spend at once."""
    return MaxChargeError(
        f"This request may cost up to ${format_usd(need_nano)}; this key may spend at most "
        f"${format_usd(most_nano)} at once. Lower max_tokens, or raise the key's max_charge_usd."
    )


def shortage(waiter: Waiter, grant: LeaseGrant, spender_kind: SpenderKind) -> ServiceError:
    """The refusal that a waiter gets: how much was needed, how much there is, what to do.

    An app that spends by a grant is not told what its person has: that takes a scope of its own.
    """
    needed, available = format_usd(waiter.need_nano), format_usd(grant.available_nano)
    if grant.reason == "max_charge":  # a limit that was lowered while the request waited
        return too_much_at_once(waiter.need_nano, grant.available_nano)
    if grant.reason == "budget":
        return BudgetExceededError(
            f"This request may cost up to ${needed}; ${available} of this key's budget is left. Raise the "
            "budget, use another key, or lower max_tokens."
        )
    if spender_kind == "grant":
        return InsufficientQuotaError(
            f"This request may cost up to ${needed}, which the person's balance does not cover. They can "
            "top it up; or lower max_tokens."
        )
    return InsufficientQuotaError(
        f"This request may cost up to ${needed}; ${available} is available. Top up the account (POST "
        "/api/billing/topups, or ask your administrator) or lower max_tokens."
    )
