"""Spenders: API keys and OAuth grants, each with its own ceiling over windows of a clock of its choice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from common.contracts.billing import BudgetAlert, BudgetExhausted
from common.contracts.errors import InvalidRequestError
from common.contracts.principals import Budget, BudgetPeriod, SpenderKind
from common.kit.ids import uuid7
from common.kit.money import MAX_NANO, format_usd

if TYPE_CHECKING:
    from billing.domain.books import Books

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(1024)
def zone_of(name: str) -> ZoneInfo:
    """The time zone; InvalidRequestError when `name` is no IANA name that this machine knows."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise InvalidRequestError(f"{name[:64]!r} is no time zone.", param="budget.timezone") from None


@lru_cache(1024)  # a transaction asks for its one moment again and again
def window_start(period: BudgetPeriod, now: datetime, zone: str = "UTC") -> datetime:
    """When the window that contains `now` began, in UTC: midnight, Monday, the first; never for `total`.

    Days are those of the zone's clock, so one has 23 or 25 hours when it changes. Where the clock skips
    midnight the day begins at the first moment after it (PEP 495: the offset from before the gap).
    """
    if period == "total":
        return _BEGINNING
    day = now.astimezone(zone_of(zone)).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if period == "week":
        day -= timedelta(days=day.weekday())
    elif period == "month":
        day = day.replace(day=1)
    return day.astimezone(UTC)


def check_budget(budget: Budget | None) -> None:
    """Raise InvalidRequestError unless the ledger can hold its amounts and knows its time zone."""
    if budget is None:
        return
    zone_of(budget.timezone)
    if not 0 <= budget.limit_nano <= MAX_NANO:
        raise InvalidRequestError("A budget is negative or too large.", param="budget.limit_nano")
    if not 1 <= (1 if budget.alert_percent is None else budget.alert_percent) <= 100:
        raise InvalidRequestError("An alert is set at 1 to 100 percent.", param="budget.alert_percent")
    if not 0 < (1 if budget.max_charge_nano is None else budget.max_charge_nano) <= MAX_NANO:
        raise InvalidRequestError("A limit is not above zero or too large.", param="budget.max_charge_nano")


class Spender:
    """One spender: `used_nano` was posted in the current window, `held_nano` is in its leases and holds now.

    `alerted` and `exhausted`: that was told in this window.
    """

    __slots__ = (
        "account",
        "alert_percent",
        "alerted",
        "budget_nano",
        "changed",
        "exhausted",
        "held_nano",
        "id",
        "kind",
        "max_charge_nano",
        "period",
        "timezone",
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
        timezone: str = "UTC",
        alert_percent: int | None = None,
        max_charge_nano: int | None = None,
        window_start: datetime = _BEGINNING,
        used_nano: int = 0,
        held_nano: int = 0,
        alerted: bool = False,
        exhausted: bool = False,
    ) -> None:
        self.id = id_
        self.account = account
        self.kind = kind
        self.budget_nano = budget_nano
        self.period = period
        self.timezone = timezone
        self.alert_percent = alert_percent
        self.max_charge_nano = max_charge_nano
        self.window_start = window_start
        self.used_nano = used_nano
        self.held_nano = held_nano
        self.alerted = alerted
        self.exhausted = exhausted
        self.changed = False

    def take_over(self, kind: SpenderKind, budget: Budget | None, now: datetime) -> None:
        """What the principal says of it now. Another period or clock counts its use from now on."""
        if kind != self.kind:
            self.kind = kind
            self.changed = True
        told = budget or Budget(MAX_NANO, self.period, self.timezone)
        limit = None if budget is None else budget.limit_nano
        if (told.period, told.timezone) != (self.period, self.timezone):
            self.period, self.timezone = told.period, told.timezone
            self._begin(window_start(self.period, now, self.timezone))
        terms = (limit, told.alert_percent, told.max_charge_nano)
        if terms != (self.budget_nano, self.alert_percent, self.max_charge_nano):
            self.budget_nano, self.alert_percent, self.max_charge_nano = terms
            self.alerted = self.exhausted = False
            self.changed = True
        self.roll(now)

    def roll(self, now: datetime) -> None:
        """Begin the window of `now` with nothing used, when the stored one is over; a clock that went back
        begins none.
        """
        if self.period != "total":
            start = window_start(self.period, now, self.timezone)
            if start > self.window_start:
                self._begin(start)

    def budget_left(self) -> int:
        """Nano-USD the budget still gives: limit - used - held, never below zero; MAX_NANO without one."""
        if self.budget_nano is None:
            return MAX_NANO
        return max(0, self.budget_nano - self.used_nano - self.held_nano)

    def allows_charge(self, amount_nano: int) -> bool:
        """Whether it may spend as much at once."""
        return self.max_charge_nano is None or amount_nano <= self.max_charge_nano

    def hold(self, amount_nano: int) -> None:
        """Count a grant (positive) or what came back or was spent from a lease or hold (negative)."""
        self.held_nano += amount_nano
        self.changed = True

    def use(self, amount_nano: int, now: datetime) -> None:
        """Count a charge in the window of `now`."""
        self.roll(now)
        self.used_nano += amount_nano
        self.changed = True

    def _begin(self, start: datetime) -> None:
        self.window_start = start
        self.used_nano = 0
        self.alerted = self.exhausted = False
        self.changed = True


def watch_budget(books: Books, spender: Spender) -> None:
    """Tell, once per window, that used + held reached the alert's share of the budget."""
    if spender.alert_percent is None or spender.budget_nano is None or spender.alerted:
        return
    spent = spender.used_nano + spender.held_nano
    customer = books.customers.get(spender.account)
    if spent == 0 or spent * 100 < spender.budget_nano * spender.alert_percent or customer is None:
        return
    spender.alerted = spender.changed = True
    books.tell(
        customer,
        BudgetAlert(
            id=uuid7(),
            sequence=customer.next_billing_sequence(),
            account=customer.id,
            spender=spender.id,
            percent=spender.alert_percent,
            limit=format_usd(spender.budget_nano),
            used=format_usd(spender.used_nano),
            held=format_usd(spender.held_nano),
            period=spender.period,
            timezone=spender.timezone,
            window_start=spender.window_start.isoformat(),
        ),
    )


def tell_exhausted(books: Books, spender: Spender, asked_nano: int) -> None:
    """Tell, once per window, that the budget refused a reservation of `asked_nano`."""
    if spender.exhausted or spender.budget_nano is None:
        return
    spender.exhausted = spender.changed = True
    customer = books.customers[spender.account]
    books.tell(
        customer,
        BudgetExhausted(
            id=uuid7(),
            sequence=customer.next_billing_sequence(),
            account=customer.id,
            spender=spender.id,
            asked=format_usd(asked_nano),
            limit=format_usd(spender.budget_nano),
            used=format_usd(spender.used_nano),
            held=format_usd(spender.held_nano),
            period=spender.period,
            timezone=spender.timezone,
            window_start=spender.window_start.isoformat(),
        ),
    )
