"""Signing keys and their time: made, published before use, in use, published after use, gone.

OpenID Connect Core section 10.1.1: who checks ID tokens keeps our keys for a while, so a key must be known
before it signs, and until all it has signed has expired.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

IN_USE = timedelta(days=90)
AHEAD = timedelta(days=1)
"""How long a key is published before it signs: much longer than what we answer may be kept."""
KEPT = timedelta(days=7)
"""How long a key is published after the next has taken over; much longer than an ID token lives."""
JWKS_MAX_AGE_S = 3600
ID_TOKEN_LIFETIME = timedelta(hours=1)


class SigningKey(msgspec.Struct, frozen=True):
    """An RSA key of 2048 bits for RS256. `public_jwk` is JSON, `sealed` the private key, encrypted.

    It signs from `active_at` until the next one does, and is published until `expires_at`.
    """

    kid: str
    public_jwk: str
    sealed: bytes
    created_at: datetime
    active_at: datetime
    expires_at: datetime | None = None


def signing_key(keys: Sequence[SigningKey], now: datetime) -> SigningKey | None:
    """The one that signs now."""
    active = [key for key in keys if key.active_at <= now and not is_gone(key, now)]
    return max(active, key=_age, default=None)


def published_keys(keys: Sequence[SigningKey], now: datetime) -> list[SigningKey]:
    """What the key set shows, the newest first."""
    return sorted((key for key in keys if not is_gone(key, now)), key=_age, reverse=True)


def next_start(keys: Sequence[SigningKey], now: datetime, *, asked: bool) -> datetime | None:
    """When a key that is made now is to begin to sign; None when none is to be made.

    The schedule makes one when the newest is about to have been in use for IN_USE; `asked`: the operator
    wants one, which there is already when one waits for its time.
    """
    newest = max(keys, key=_age, default=None)
    if newest is None or signing_key(keys, now) is None:
        return now
    if newest.active_at > now:
        return None
    if asked:
        return now + AHEAD
    start = newest.active_at + IN_USE
    return max(start, now + AHEAD) if now >= start - AHEAD else None


def end_of(key: SigningKey, successor: SigningKey, *, at_once: bool) -> datetime:
    """Until when `key` is published once `successor` is there; at once where it is no longer trusted."""
    end = successor.created_at if at_once else max(successor.active_at, key.active_at) + KEPT
    return end if key.expires_at is None else min(key.expires_at, end)


def _age(key: SigningKey) -> tuple[datetime, datetime]:
    return key.active_at, key.created_at


def is_gone(key: SigningKey, now: datetime) -> bool:
    """Whether it is published no more."""
    return key.expires_at is not None and key.expires_at <= now
