"""Spenders: API keys and OAuth grants, each with its own ceiling over a UTC window."""

from datetime import UTC, datetime, timedelta

from common.contracts.principals import Budget, BudgetPeriod, SpenderKind
from common.kit.money import MAX_NANO

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def window_start(period: BudgetPeriod, now: datetime) -> datetime:
    """When the window that contains `now` began, in UTC: midnight, Monday, the first; never for `total`."""
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "day":
        return day
    if period == "week":
        return day - timedelta(days=day.weekday())
    if period == "month":
        return day.replace(day=1)
    return _BEGINNING


class Spender:
    """One spender: `used_nano` was posted in the current window, `held_nano` is in its leases now."""

    __slots__ = (
        "account",
        "budget_nano",
        "changed",
        "held_nano",
        "id",
        "kind",
        "period",
        "used_nano",
        "window_start",
    )

    def __init__(  # noqa: PLR0913  a row
        self,
        id_: str,
        account: str,
        kind: SpenderKind = "key",
        *,
        budget_nano: int | None = None,
        period: BudgetPeriod = "total",
        window_start: datetime = _BEGINNING,
        used_nano: int = 0,
        held_nano: int = 0,
    ) -> None:
        self.id = id_
        self.account = account
        self.kind = kind
        self.budget_nano = budget_nano
        self.period = period
        self.window_start = window_start
        self.used_nano = used_nano
        self.held_nano = held_nano
        self.changed = False

    def take_over(self, kind: SpenderKind, budget: Budget | None, now: datetime) -> None:
        """What the principal says of it now. Another period counts its use from now on."""
        if kind != self.kind:
            self.kind = kind
            self.changed = True
        limit = None if budget is None else budget.limit_nano
        period = self.period if budget is None else budget.period
        if limit != self.budget_nano or period != self.period:
            if period != self.period:
                self.period = period
                self.window_start = window_start(period, now)
                self.used_nano = 0
            self.budget_nano = limit
            self.changed = True
        self.roll(now)

    def roll(self, now: datetime) -> None:
        """Begin the window of `now` with nothing used, when the stored one is over."""
        start = window_start(self.period, now)
        if start > self.window_start:
            self.window_start = start
            self.used_nano = 0
            self.changed = True

    def budget_left(self) -> int:
        """Nano-USD the budget still gives: limit - used - held, never below zero; MAX_NANO without one."""
        if self.budget_nano is None:
            return MAX_NANO
        return max(0, self.budget_nano - self.used_nano - self.held_nano)

    def hold(self, amount_nano: int) -> None:
        """Count a grant (positive) or what came back or was spent from a lease (negative)."""
        self.held_nano += amount_nano
        self.changed = True

    def use(self, amount_nano: int, now: datetime) -> None:
        """Count a charge in the window of `now`."""
        self.roll(now)
        self.used_nano += amount_nano
        self.changed = True
