"""Rich authorization requests (RFC 9396): the type `charge_user`, what an app asks to spend.

    {"type": "charge_user", "currency": "USD", "limit": {"amount": "5.00", "period": "month"},
     "max_per_charge": "0.50", "expires_at": "2027-01-01T00:00:00Z"}

`max_per_charge`, `expires_at` and `limit.timezone` (an IANA name, `UTC` when absent) may be left out.
"""

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec

from common.contracts.principals import BudgetPeriod
from common.kit.money import format_usd, parse_usd
from oauth.domain.errors import InvalidDetailsError
from oauth.domain.grants import Grant, Spending

CHARGE_USER = "charge_user"
MAX_AMOUNT_NANO = 1_000_000_000_000_000
"""1,000,000 USD."""
_MOST_BYTES = 4_096
_AMOUNT = re.compile(r"[0-9]{1,7}(\.[0-9]{1,9})?")


class LimitAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """So many USD, a decimal string, in each `period` of the clock of `timezone`."""

    amount: str
    period: BudgetPeriod
    timezone: str = "UTC"


class ChargeUser(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag=CHARGE_USER, tag_field="type"):
    """One authorization detail; what is not named here is refused."""

    currency: str
    limit: LimitAsked
    max_per_charge: str | None = None
    expires_at: datetime | None = None


_DECODER = msgspec.json.Decoder(list[ChargeUser])


def parse_details(text: str, now: datetime) -> Spending | None:
    """What `authorization_details` asks to spend, None for an empty list.

    InvalidDetailsError for anything that is not understood to the last field (RFC 9396 section 5).
    """
    if len(text) > _MOST_BYTES:
        raise InvalidDetailsError("authorization_details is too long.", param="authorization_details")
    try:
        details = _DECODER.decode(text)
    except msgspec.MsgspecError:
        raise _refused("is not a list of charge_user details with known fields only") from None
    if not details:
        return None
    if len(details) > 1:
        raise _refused("has more than one detail of type charge_user")
    return _spending_of(details[0], now)


def granted_details(grant: Grant) -> list[dict[str, object]]:
    """What the person allowed, as token and introspection responses tell it (RFC 9396 sections 7 and 9)."""
    spending = grant.spending
    if spending.limit_nano is None:
        return []
    limit: dict[str, object] = {"amount": format_usd(spending.limit_nano), "period": spending.period}
    if spending.timezone != "UTC":
        limit["timezone"] = spending.timezone
    detail: dict[str, object] = {"type": CHARGE_USER, "currency": "USD", "limit": limit}
    if spending.max_charge_nano is not None:
        detail["max_per_charge"] = format_usd(spending.max_charge_nano)
    if spending.expires_at is not None:
        end = spending.expires_at.astimezone(UTC).replace(tzinfo=None)
        detail["expires_at"] = f"{end.isoformat()}Z"
    return [detail]


def parse_amount(text: str) -> int:
    """A plain decimal of USD as nano-USD, above zero and at most 1,000,000 USD; ValueError otherwise."""
    if not _AMOUNT.fullmatch(text):
        raise ValueError("not a plain decimal")
    amount_nano = parse_usd(text)
    if not 0 < amount_nano <= MAX_AMOUNT_NANO:
        raise ValueError("out of bounds")
    return amount_nano


def parse_timezone(name: str) -> str:
    """The name of a zone that is known here; ValueError otherwise."""
    try:
        return ZoneInfo(name).key
    except (ValueError, OSError, KeyError):
        raise ValueError("unknown time zone") from None


def _spending_of(asked: ChargeUser, now: datetime) -> Spending:
    if asked.currency != "USD":
        raise _refused("has another currency than USD")
    try:
        limit_nano = parse_amount(asked.limit.amount)
        at_once = asked.max_per_charge
        max_charge_nano = None if at_once is None else parse_amount(at_once)
    except ValueError:
        raise _refused("has an amount that is no decimal string above 0 and up to 1000000") from None
    if max_charge_nano is not None and max_charge_nano > limit_nano:
        raise _refused("has a max_per_charge above its limit")
    try:
        timezone = parse_timezone(asked.limit.timezone)
    except ValueError:
        raise _refused("has an unknown time zone") from None
    end = asked.expires_at
    if end is not None and (end.tzinfo is None or end <= now):
        raise _refused("has an expires_at that has passed or has no offset")
    return Spending(limit_nano, asked.limit.period, timezone, max_charge_nano, end and end.astimezone(UTC))


def _refused(why: str) -> InvalidDetailsError:
    return InvalidDetailsError(f"authorization_details {why}.", param="authorization_details")
