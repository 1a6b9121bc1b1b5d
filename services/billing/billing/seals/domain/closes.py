"""Closing a month: after it nothing may be posted there, and what it came to is kept for ever."""

import hashlib
import re
from datetime import UTC, date, datetime
from typing import Any

import msgspec

from common.contracts.errors import ConflictError, InvalidRequestError
from common.kit.money import format_usd

_MONTH = re.compile(r"([1-9][0-9]{3})-(0[1-9]|1[0-2])")


class Close(msgspec.Struct, frozen=True):
    """One closed month.

    `head` is the digest of seal `seal`, which holds the month's last row (`last_position`); `totals` is
    SHA-256 over `account|debits|credits` lines of the accounts that moved, cumulative at the month's end;
    `digest` is SHA-256 over all of it and the digest of the close before.
    """

    month: date
    last_position: int
    seal: int
    head: bytes
    transfers: int
    records: int
    moved_nano: int
    accounts: int
    totals: bytes
    previous: bytes
    digest: bytes
    closed_at: datetime

    def expected(self) -> bytes:
        """The digest these fields make."""
        fields = (
            self.month.isoformat(), self.last_position, self.seal, self.head.hex(), self.transfers,
            self.records, self.moved_nano, self.accounts, self.totals.hex(), self.previous.hex(),
            self.closed_at.astimezone(UTC).isoformat(),
        )  # fmt: skip
        return hashlib.sha256(msgspec.json.encode(fields)).digest()

    def shown(self) -> dict[str, Any]:
        """As the API answers it: digests in hex, the amount in USD."""
        return {
            "month": f"{self.month:%Y-%m}",
            "transfers": self.transfers,
            "records": self.records,
            "moved": format_usd(self.moved_nano),
            "accounts": self.accounts,
            "seal": self.seal,
            "head": self.head.hex(),
            "totals": self.totals.hex(),
            "previous": self.previous.hex(),
            "digest": self.digest.hex(),
            "closed_at": self.closed_at.astimezone(UTC).isoformat(timespec="milliseconds"),
        }


class NotClosableError(ConflictError):
    """The month cannot be closed now; the message says what stands in the way."""

    code = "not_closable"


def parse_month(text: str) -> date:
    """`2026-10` as its first day; InvalidRequestError when it is no month."""
    match = _MONTH.fullmatch(text)
    if match is None:
        raise InvalidRequestError("A month is written YYYY-MM.", param="month")
    return date(int(match.group(1)), int(match.group(2)), 1)


def month_after(month: date) -> date:
    """The first day of the next month."""
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def start_of(month: date) -> datetime:
    """The month's first moment, UTC."""
    return datetime(month.year, month.month, 1, tzinfo=UTC)


def check_closable(month: date, last: date | None, now: datetime) -> None:
    """NotClosableError unless the month is over and follows `last`, the newest close; the first may be any.

    The first close takes in everything before it.
    """
    if start_of(month_after(month)) > now:
        raise NotClosableError(f"{month:%Y-%m} is not over.")
    if last is not None and month < last:
        raise NotClosableError(f"{month:%Y-%m} lies before the first close and was closed with it.")
    if last is not None and month != month_after(last):
        raise NotClosableError(f"Close {month_after(last):%Y-%m} first.")
