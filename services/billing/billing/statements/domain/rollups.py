"""Roll-ups: usage summed by UTC day or month, and by what it is seen by."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Literal, NamedTuple, get_args

import msgspec

from common.contracts.errors import InvalidRequestError

RollupBy = Literal["model", "key", "app", "channel", "account"]
RollupPeriod = Literal["day", "month", "all"]
DEFAULT_DAYS = 30
MAX_DAYS = 3_660
_SEPARATOR = "~"
_MONTH = re.compile(r"\d{4}-(?:0[1-9]|1[0-2])")


class Days(NamedTuple):
    """UTC days from `since` up to and without `until`."""

    since: date
    until: date


class RollupKey(NamedTuple):
    """A row's place: its period's first day, and what it is about."""

    first: date
    name: str

    def cursor(self) -> str:
        """As clients pass it back."""
        return f"{self.first.isoformat()}{_SEPARATOR}{self.name}"


BEGINNING = RollupKey(date.min, "")


class RollupQuery(msgspec.Struct, frozen=True):
    """What is to be summed; `account` None is everybody's. `all` makes one period of all the days."""

    account: str | None
    by: RollupBy
    period: RollupPeriod
    days: Days


class Rollup(msgspec.Struct, frozen=True):
    """Sums over the requests that started in a period, in the order the reader selects; nano-USD.

    `cost` is what was to be paid, `charged` what was taken of it, `free` the part of that which an allowance
    paid; `refunded` is what was given back of `charged` until now, `refunded_free` what of that as allowance.
    `upstream` is what upstreams took, as far as known: `unknown_costs` requests are not in it, and
    `known_paid` is what the others brought: their net without what is free in it. An error is any outcome but
    `ok` and `client_gone`.
    """

    first: date
    name: str
    requests: int
    errors: int
    estimated: int
    unknown_costs: int
    cost_nano: int
    charged_nano: int
    free_nano: int
    refunded_nano: int
    refunded_free_nano: int
    upstream_nano: int
    known_paid_nano: int
    quantities: dict[str, int]

    @property
    def net_nano(self) -> int:
        """What of `charged` was not given back."""
        return self.charged_nano - self.refunded_nano

    @property
    def key(self) -> RollupKey:
        """Where it is in its list."""
        return RollupKey(self.first, self.name)


def parse_days(since: str | None, until: str | None, today: date) -> Days:
    """The parameters `from` and `to`, dates; the last DEFAULT_DAYS up to and with today where they lack."""
    end = today + timedelta(days=1) if until is None else _day(until, "to")
    try:
        start = end - timedelta(days=DEFAULT_DAYS) if since is None else _day(since, "from")
    except OverflowError:
        raise InvalidRequestError("There are no days before the year 1.", param="to") from None
    if start >= end:
        raise InvalidRequestError("to is not after from.", param="to")
    if (end - start).days > MAX_DAYS:
        raise InvalidRequestError(f"A period has at most {MAX_DAYS} days.", param="from")
    return Days(start, end)


def parse_by(text: str, allowed: tuple[str, ...] = get_args(RollupBy)) -> RollupBy:
    """What to sum by; InvalidRequestError when it is unknown."""
    for by in get_args(RollupBy):
        if by == text and by in allowed:
            return by  # type: ignore[no-any-return]  # # get_args loses the literals
    raise InvalidRequestError(f"by is one of {', '.join(allowed)}.", param="by")


def parse_period_kind(text: str) -> RollupPeriod:
    """The parameter `period`; InvalidRequestError when it is unknown."""
    for kind in get_args(RollupPeriod):
        if kind == text:
            return kind  # type: ignore[no-any-return]  # # as above
    raise InvalidRequestError(f"period is one of {', '.join(get_args(RollupPeriod))}.", param="period")


def parse_month(text: str) -> Days:
    """The days of a month such as `2026-11`."""
    if _MONTH.fullmatch(text) is None or text >= "9999-12" or text < "0001":
        raise InvalidRequestError("month is a month such as 2026-11.", param="month")
    first = date.fromisoformat(f"{text}-01")
    return Days(first, (first + timedelta(days=31)).replace(day=1))


def parse_after(text: str | None) -> RollupKey:
    """The place of an `after` cursor; InvalidRequestError when it is none."""
    if text is None:
        return BEGINNING
    day, _, name = text.partition(_SEPARATOR)
    if "\0" in name:
        raise InvalidRequestError("Not a cursor of this list.", param="after")
    return RollupKey(_day(day, "after"), name)


def midnight(day: date) -> datetime:
    """When the UTC day begins."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _day(text: str, param: str) -> date:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise InvalidRequestError(f"{param} is a UTC day such as 2026-11-01.", param=param) from None
