"""The terms of spending as a person types them into a form, and as the form shows them."""

from datetime import UTC, datetime
from typing import cast, get_args
from zoneinfo import ZoneInfo

import msgspec

from common.contracts.principals import BudgetPeriod
from common.kit.money import format_usd
from oauth.domain.details import parse_amount, parse_timezone
from oauth.domain.grants import Spending

PERIODS: tuple[BudgetPeriod, ...] = get_args(BudgetPeriod)
DEFAULT = Spending(5_000_000_000, "month")
"""What the form proposes when the app says nothing: 5 USD a month."""
_END = "%Y-%m-%dT%H:%M"


class Terms(msgspec.Struct, frozen=True):
    """Fields of the form, as text. `expires_at` is `YYYY-MM-DDTHH:MM` on the clock of `timezone`.

    An empty `max_per_charge` or `expires_at` is no bound.
    """

    limit: str = ""
    period: str = "month"
    timezone: str = "UTC"
    max_per_charge: str = ""
    expires_at: str = ""


class TermsError(ValueError):
    """Fields that cannot be what the person meant: `faults` says by field what is wrong.

    A fault is `amount`, `above_limit`, `choice` or `past`.
    """

    def __init__(self, faults: dict[str, str]) -> None:
        super().__init__(", ".join(f"{field}: {fault}" for field, fault in faults.items()))
        self.faults = faults


def read_terms(terms: Terms, now: datetime) -> Spending:
    """Exactly what was entered; TermsError naming every field that is wrong."""
    faults: dict[str, str] = {}
    limit_nano = _amount(terms.limit, "limit", faults)
    max_charge_nano = (
        _amount(terms.max_per_charge, "max_per_charge", faults) if terms.max_per_charge.strip() else None
    )
    if limit_nano and max_charge_nano and max_charge_nano > limit_nano:
        faults["max_per_charge"] = "above_limit"
    if terms.period not in PERIODS:
        faults["period"] = "choice"
    end = None
    try:
        timezone = parse_timezone(terms.timezone)
        end = _end(terms.expires_at.strip(), timezone, now, faults)
    except ValueError:
        faults["timezone"] = "choice"
        timezone = "UTC"
    if faults:
        raise TermsError(faults)
    return Spending(limit_nano, cast("BudgetPeriod", terms.period), timezone, max_charge_nano, end)


def terms_of(spending: Spending) -> Terms:
    """As the form shows them; an end within a minute is shown, and kept, as the minute's beginning."""
    end = spending.expires_at
    return Terms(
        limit="" if spending.limit_nano is None else format_usd(spending.limit_nano),
        period=spending.period,
        timezone=spending.timezone,
        max_per_charge="" if spending.max_charge_nano is None else format_usd(spending.max_charge_nano),
        expires_at="" if end is None else end.astimezone(ZoneInfo(spending.timezone)).strftime(_END),
    )


def _amount(text: str, field: str, faults: dict[str, str]) -> int | None:
    try:
        return parse_amount(text.strip())
    except ValueError:
        faults[field] = "amount"
        return None


def _end(text: str, timezone: str, now: datetime, faults: dict[str, str]) -> datetime | None:
    if not text:
        return None
    try:
        end = (
            datetime.strptime(text.replace(" ", "T")[:16], _END)
            .replace(tzinfo=ZoneInfo(timezone))
            .astimezone(UTC)
        )
    except (ValueError, OverflowError):
        faults["expires_at"] = "choice"
        return None
    if end <= now:
        faults["expires_at"] = "past"
    return end
