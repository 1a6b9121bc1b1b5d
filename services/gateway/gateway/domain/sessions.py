"""Sign-in: who is signed in, for how long, and how fast a password may be guessed.

A session is a row on the server; the browser holds a random token of which only a keyed digest is stored
(OWASP session management). Forms carry a second secret derived from the token, so that another site's page
cannot send them in the person's name.
"""

import base64
import hmac
import re
import secrets
from datetime import datetime, timedelta

import msgspec

from common.contracts.errors import ServiceError
from gateway.domain.keys import KeyHasher
from gateway.domain.users import User

LIFETIME = timedelta(days=14)
"""A session ends this long after sign-in, however much it is used."""
IDLE = timedelta(days=2)
"""A session ends this long after its last use."""
SEEN_EVERY = timedelta(minutes=5)
"""The last use is noted no more often than this."""
FREE_FAILURES = 5
FIRST_WAIT_S = 30
LONGEST_WAIT_S = 900
FORGET = timedelta(minutes=30)
"""Failures older than this count no more."""
ADDRESS_FACTOR = 10
"""Many people may share an address: it is given this many times the failures of one e-mail address."""
_TOKEN_BYTES = 32
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


class NotSignedInError(ServiceError):
    """There is no such session, or no more."""

    code = "not_signed_in"
    status = 401


class WrongPasswordError(ServiceError):
    """E-mail address and password do not belong together; which of them is wrong is not told."""

    code = "wrong_password"
    status = 401


class TooManyFailuresError(ServiceError):
    """Too many wrong passwords; `retry_after_s` says when the next try is looked at."""

    code = "too_many_attempts"
    status = 429


class Session(msgspec.Struct, frozen=True):
    """A signed-in browser. `digest` is of the token, which exists only there."""

    id: str
    user: str
    digest: bytes
    created_at: datetime
    seen_at: datetime

    def is_live(self, now: datetime) -> bool:
        """Neither too old nor unused for too long."""
        return now < self.expires_at

    @property
    def expires_at(self) -> datetime:
        """When it ends if it is not used again."""
        return min(self.created_at + LIFETIME, self.seen_at + IDLE)


class SignedIn(msgspec.Struct, frozen=True):
    """A session and whose it is."""

    session: Session
    user: User


class SessionTokens:
    """Tokens, and what is derived from them under the pepper."""

    def __init__(self, hasher: KeyHasher) -> None:
        self._hasher = hasher

    def generate(self) -> str:
        """43 URL-safe characters, 256 random bits."""
        return secrets.token_urlsafe(_TOKEN_BYTES)

    def digest(self, token: str) -> bytes:
        """What is stored in the token's place; NotSignedInError when it cannot be a token."""
        if not _TOKEN.fullmatch(token):
            raise NotSignedInError("You are not signed in.")
        return self._hasher.digest(f"session:{token}")

    def csrf(self, token: str) -> str:
        """The secret that forms of this session carry; it tells nothing about the token."""
        digest = self._hasher.digest(f"csrf:{token}")
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")

    def is_csrf(self, token: str, given: str) -> bool:
        """Whether a form came from a page of this session; takes the same time for every answer."""
        return hmac.compare_digest(self.csrf(token).encode(), given.encode())

    def failure_names(self, email: str, address: str) -> dict[bytes, int]:
        """What failures are counted under, with how many are free: the e-mail address, then the sender."""
        return {
            self._hasher.digest(f"failures:email:{email}"): FREE_FAILURES,
            self._hasher.digest(f"failures:address:{address}"): FREE_FAILURES * ADDRESS_FACTOR,
        }


def wait_s(failures: int, free: int) -> int:
    """Seconds until the next try: none after the free failures, then doubling up to a quarter hour."""
    if failures < free:
        return 0
    return min(LONGEST_WAIT_S, FIRST_WAIT_S << min(failures - free, 10))
