"""Terms of spending in a sentence, and what a form offers to choose from."""

from datetime import datetime
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from common.kit.money import format_usd
from oauth.domain.grants import Spending
from oauth.routes.pages.words import CommonWords

COMMON_ZONES = (
    "UTC",
    "Asia/Shanghai",
    "Asia/Hong_Kong",
    "Asia/Taipei",
    "Asia/Singapore",
    "Asia/Tokyo",
    "Asia/Seoul",
    "Asia/Kolkata",
    "Asia/Dubai",
    "Europe/Moscow",
    "Europe/Berlin",
    "Europe/Paris",
    "Europe/Rome",
    "Europe/London",
    "Africa/Cairo",
    "Africa/Johannesburg",
    "Africa/Lagos",
    "America/Sao_Paulo",
    "America/New_York",
    "America/Chicago",
    "America/Denver",
    "America/Los_Angeles",
    "America/Mexico_City",
    "Australia/Sydney",
    "Pacific/Auckland",
)
"""Zones of a form's list, which shows the one that is set besides."""


def zones_with(zone: str) -> tuple[str, ...]:
    """The common zones, and `zone` if it is none of them."""
    return COMMON_ZONES if zone in COMMON_ZONES else (zone, *COMMON_ZONES)


def tell_spending(spending: Spending | None, words: CommonWords) -> str:
    """`up to 5 USD a month, at most 0.5 USD at once, until …`; empty when there is no limit."""
    if spending is None or spending.limit_nano is None:
        return ""
    parts = [words.limits[spending.period].format(amount=format_usd(spending.limit_nano))]
    if spending.max_charge_nano is not None:
        parts.append(words.at_once.format(amount=format_usd(spending.max_charge_nano)))
    if spending.expires_at is not None:
        parts.append(words.until.format(time=tell_time(spending.expires_at, spending.timezone)))
    return words.comma.join(parts)


def tell_time(time: datetime, timezone: str) -> str:
    """To the minute, on the clock of the zone, with its name."""
    return f"{time.astimezone(ZoneInfo(timezone)):%Y-%m-%d %H:%M} ({timezone})"


def host_of(url: str) -> str:
    """What people are shown of an address."""
    return urlsplit(url).netloc
