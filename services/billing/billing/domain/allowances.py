"""The free allowance: money from `promo` that a plan gives for a period and that is spent before paid money.

It is a label on the customer's money (`free_nano`), not an account of its own: see decision 0015. A period
begins when the first reservation in it is decided, so an account that nobody uses costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal
from zoneinfo import ZoneInfo

import msgspec

from billing.domain.accounts import PROMO
from common.kit.ids import named_id

if TYPE_CHECKING:
    from billing.domain.accounts import Customer
    from billing.domain.books import Books

Period = Literal["day", "week", "month"]


class Allowance(msgspec.Struct, frozen=True):
    """`amount_nano` for each period of the clock of `zone` (an IANA name); weeks begin on Monday."""

    amount_nano: int
    period: Period
    zone: str

    def ends_at(self, now: datetime) -> datetime:
        """When the period that contains `now` is over, in UTC."""
        today = now.astimezone(ZoneInfo(self.zone)).date()
        if self.period == "day":
            end = today + timedelta(days=1)
        elif self.period == "week":
            end = today + timedelta(days=7 - today.weekday())
        else:
            end = (today.replace(day=28) + timedelta(days=4)).replace(day=1)
        return datetime(end.year, end.month, end.day, tzinfo=ZoneInfo(self.zone)).astimezone(UTC)


Allowances = Mapping[str, Allowance | None]
"""By plan; under the empty name that of people without a membership."""


class Rollover(msgspec.Struct, frozen=True):
    """What a new period does to a wallet: `expired_nano` leaves it, `given_nano` comes, until `ends_at`.

    `ends_at` is None while more of an old allowance is held than the new one gives: it leaves when it comes
    back to the wallet, and until then the period has not begun.
    """

    expired_nano: int
    given_nano: int
    ends_at: datetime | None


def allowance_of(
    allowances: Allowances, plan: str, plan_until: datetime | None, now: datetime
) -> Allowance | None:
    """What a member of `plan` is given at `now`; without a plan, or after its end, what everybody is."""
    lasts = plan_until is None or now < plan_until
    return allowances.get(plan if lasts else "", allowances.get(""))


def roll_over(allowance: Allowance | None, free_nano: int, wallet_nano: int, now: datetime) -> Rollover:
    """Begin a period. Free money that is held passes into it and is counted against its amount, so that no
    more than the amount is ever free at a time.
    """
    expired = min(free_nano, wallet_nano)
    held = free_nano - expired
    if allowance is None or held > allowance.amount_nano:
        return Rollover(expired, 0, None)
    return Rollover(expired, allowance.amount_nano - held, allowance.ends_at(now))


def is_due(
    allowances: Allowances | None,
    plan: str,
    plan_until: datetime | None,
    allowance_until: datetime,
    free_nano: int,
    now: datetime,
) -> bool:
    """Whether a period may begin at `now`; `allowances` is None until the plans are read."""
    if now < allowance_until or allowances is None:
        return False
    return free_nano > 0 or allowance_of(allowances, plan, plan_until, now) is not None


def renew_allowance(books: Books, customer: Customer) -> None:
    """Begin a new period of the customer's allowance when it is time: before money is reserved."""
    now = books.now
    if now < customer.allowance_until or books.allowances is None:
        return
    allowance = allowance_of(books.allowances, customer.plan, customer.plan_until, now)
    if allowance is None and not customer.free_nano:
        return
    promo = books.accounts.get(PROMO)
    if promo is None:
        return  # it is loaded with every customer that `is_due`, and time went on while it was
    due = roll_over(allowance, customer.free_nano, customer.wallet.balance, now)
    reference = named_id("allowance", customer.id, now.isoformat())
    if due.expired_nano:
        books.post("allowance_expire", customer.wallet, promo, due.expired_nano, customer, reference)
    if due.given_nano:
        books.post("allowance", promo, customer.wallet, due.given_nano, customer, reference)
    customer.free_nano += due.given_nano - due.expired_nano
    if due.ends_at is not None:
        customer.allowance_until = due.ends_at
        customer.changed = True
