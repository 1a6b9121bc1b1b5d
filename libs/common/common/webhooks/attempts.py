"""Deliveries of webhooks: what an attempt came to, when one is tried again, and when it is given up."""

from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Literal
from zlib import crc32

import msgspec

DeliveryStatus = Literal["pending", "succeeded", "failed"]

_M, _H = 60, 3600
WAITS_S = (5, 30, 2 * _M, 10 * _M, 30 * _M, _H, 2 * _H, 4 * _H, 8 * _H, 12 * _H, 16 * _H, 24 * _H)
"""After each failed attempt; 13 attempts over 68 hours, and up to a tenth more or less by jitter."""
MAX_ATTEMPTS = len(WAITS_S) + 1
MAX_RETRY_AFTER = timedelta(hours=24)
DISABLE_AFTER = timedelta(days=5)
"""An endpoint that has failed without a success for so long is disabled at its next failure."""
GONE = 410
"""HTTP's word for an endpoint that is not coming back (RFC 9110 section 15.5.11)."""
LEASE = timedelta(seconds=60)
"""How long a replica may take over an attempt, several times the longest one; after that another may."""


class Outcome(msgspec.Struct, frozen=True):
    """What an attempt came to: `response_code` is None without an answer, `error` is empty for success."""

    response_code: int | None
    error: str = ""
    retry_after: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether the receiver took it: any 2xx."""
        return not self.error


def next_attempt(id_: str, attempts: int, outcome: Outcome, now: datetime) -> datetime | None:
    """When to try again after that many attempts; None to give up.

    A receiver may ask for a later time by Retry-After, 24 hours at most. The jitter is a function of the
    delivery and the attempt, so that deliveries that failed together do not come again together.
    """
    if attempts >= MAX_ATTEMPTS:
        return None
    wait_ms = WAITS_S[attempts - 1] * 1000
    tenths_of_percent = crc32(f"{id_}:{attempts}".encode()) % 201 - 100
    due = now + timedelta(milliseconds=wait_ms + wait_ms * tenths_of_percent // 1000)
    return max(due, _retry_after(outcome.retry_after, now))


def is_hopeless(outcome: Outcome, failing_since: datetime, now: datetime) -> bool:
    """Whether the endpoint is to be disabled."""
    return outcome.response_code == GONE or now - failing_since >= DISABLE_AFTER


def _retry_after(text: str, now: datetime) -> datetime:
    """Seconds or an HTTP date (RFC 9110 section 10.2.3); `now` when it is neither or in the past."""
    try:
        asked = now + timedelta(seconds=int(text)) if text.isdecimal() else parsedate_to_datetime(text)
        return min(max(asked, now), now + MAX_RETRY_AFTER)
    except (ValueError, TypeError, OverflowError):
        return now
