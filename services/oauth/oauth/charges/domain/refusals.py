"""Why the ledger refused a charge, in words for the app: never what the person has."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from common.contracts.principals import BudgetPeriod
from common.kit.money import format_usd
from oauth.charges.domain.errors import (
    ChargeLimitError,
    ChargeRefusedError,
    ChargeTooLargeError,
    GrantEndedError,
    InsufficientBalanceError,
)
from oauth.domain.grants import Spending

GRANT_ENDED = "grant_ended"
OTHER = "charge_refused"
LEDGER_CODES = {
    "insufficient_quota": InsufficientBalanceError.code,
    "budget_exceeded": ChargeLimitError.code,
    "max_charge_exceeded": ChargeTooLargeError.code,
}
"""What the ledger's refusals are called here; any other is OTHER."""
_DAYS_OF_WEEK = 7
_DECEMBER = 12


def refusal(failure: str, spending: Spending, now: datetime) -> ChargeRefusedError:
    """The error of a charge that failed so."""
    return _REFUSALS.get(failure, _other)(spending, now)


def window_end(period: BudgetPeriod, timezone: str, now: datetime) -> datetime | None:
    """The midnight at which a limit counts anew, in UTC; None for a total limit.

    As the ledger counts (contracts.principals.Budget): windows begin at midnight, on Monday, on the first, on
    the clock of `timezone`.
    """
    zone = ZoneInfo(timezone)
    today = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    if period == "day":
        end = today + timedelta(days=1)
    elif period == "week":
        end = today + timedelta(days=_DAYS_OF_WEEK - today.weekday())
    elif period == "month":
        following = today.month % _DECEMBER + 1
        end = today.replace(day=1, month=following, year=today.year + (following == 1))
    else:
        return None
    return end.replace(tzinfo=zone).astimezone(UTC)


def _balance(_: Spending, __: datetime) -> ChargeRefusedError:
    return InsufficientBalanceError(
        "The person's balance does not cover this charge. They can top it up.",
        {"topup": "/oauth/v1/topup_orders"},
    )


def _limit(spending: Spending, now: datetime) -> ChargeRefusedError:
    end = window_end(spending.period, spending.timezone, now)
    more = {
        "limit": None if spending.limit_nano is None else format_usd(spending.limit_nano),
        "period": spending.period,
        "resets_at": None if end is None else end.isoformat(),
    }
    return ChargeLimitError("The charge is more than is left of the person's limit.", more)


def _too_large(spending: Spending, _: datetime) -> ChargeRefusedError:
    most = spending.max_charge_nano
    more = {"max_per_charge": None if most is None else format_usd(most)}
    return ChargeTooLargeError("The charge is more than the person allows at once.", more)


def _ended(_: Spending, __: datetime) -> ChargeRefusedError:
    return GrantEndedError("The person's permission ended before the charge was made.")


def _other(_: Spending, __: datetime) -> ChargeRefusedError:
    return ChargeRefusedError("This charge cannot be made.")


_REFUSALS: Mapping[str, Callable[[Spending, datetime], ChargeRefusedError]] = {
    InsufficientBalanceError.code: _balance,
    ChargeLimitError.code: _limit,
    ChargeTooLargeError.code: _too_large,
    GRANT_ENDED: _ended,
}
