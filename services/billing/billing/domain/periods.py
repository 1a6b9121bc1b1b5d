"""Times and periods as people ask for them: ISO 8601 with a zone, the end excluded."""

from datetime import UTC, datetime
from typing import NamedTuple

from common.contracts.errors import InvalidRequestError


class Period(NamedTuple):
    """From `since` up to and without `until`; None is open on that side. Aware, UTC."""

    since: datetime | None = None
    until: datetime | None = None


def parse_time(value: str, param: str) -> datetime:
    """The moment, in UTC; InvalidRequestError when it is none or does not say its zone."""
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    hint = " A `+` in an address is written %2B." if " " in value else ""
    raise InvalidRequestError(
        f"{param} is a time with its zone, such as 2026-11-01T00:00:00Z.{hint}", param=param
    )


def parse_period(since: str | None, until: str | None) -> Period:
    """The parameters `from` and `to`; InvalidRequestError when the end is not after the beginning."""
    period = Period(
        None if since is None else parse_time(since, "from"),
        None if until is None else parse_time(until, "to"),
    )
    if period.since and period.until and period.since >= period.until:
        raise InvalidRequestError("to is not after from.", param="to")
    return period
