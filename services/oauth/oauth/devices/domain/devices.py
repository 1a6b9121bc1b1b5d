"""Devices that cannot show a browser, and the codes that people type for them (RFC 8628)."""

import secrets
import unicodedata
from datetime import datetime, timedelta

import msgspec

from common.contracts.errors import ServiceError
from oauth.domain.errors import OAuthError

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:device_code"
LIFETIME = timedelta(minutes=10)
INTERVAL_S = 5
"""How often a device may ask at first, and by how much more seldom each time it asks too soon."""
KEEP = timedelta(days=1)
"""An expired request is kept this long, so that its device hears `expired_token` and not `invalid_grant`."""

# 20 consonants that are not taken for each other and spell no words (RFC 8628 section 6.1). 20^8 codes are
# 2.6e10. A person has FREE_GUESSES per GUESS_WINDOW, which is as long as a code lives: with 1,000 devices
# waiting at once, ten minutes of guessing hit one of them with a chance of 2e-7, and the prize is no more
# than to sign a stranger's device in to one's own account.
ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"
_LENGTH = 8
_HALF = _LENGTH // 2
FREE_GUESSES = 5
GUESS_WINDOW = timedelta(minutes=10)


class Device(msgspec.Struct, frozen=True):
    """A device that waits, by the digests of its two codes; `app` is App.id.

    `details` is JSON of the `authorization_details` asked, empty for none. Allowed once it has a `family`.
    """

    digest: bytes
    user_digest: bytes
    app: str
    scopes: tuple[str, ...]
    details: str
    created_at: datetime
    expires_at: datetime
    interval_s: int = INTERVAL_S
    family: str | None = None
    denied_at: datetime | None = None


class Poll(msgspec.Struct, frozen=True):
    """A device as it was found when it asked; `too_soon`: before its interval was over, which has grown."""

    device: Device
    too_soon: bool


class AuthorizationPendingError(OAuthError):
    """The person has not decided yet (RFC 8628 section 3.5)."""

    code = "authorization_pending"


class SlowDownError(OAuthError):
    """Not decided yet, and asked too soon: from now on 5 seconds more lie between two questions."""

    code = "slow_down"


class ExpiredTokenError(OAuthError):
    """Nobody decided in time; the device begins anew."""

    code = "expired_token"


class UnknownUserCodeError(ServiceError):
    """No device waits with this code."""

    code = "unknown_user_code"
    status = 404


class TooManyGuessesError(ServiceError):
    """Wait for `retry_after_s`."""

    code = "too_many_guesses"
    status = 429


def generate_user_code() -> str:
    """Eight letters with a hyphen in the middle."""
    letters = "".join(secrets.choice(ALPHABET) for _ in range(_LENGTH))
    return f"{letters[:_HALF]}-{letters[_HALF:]}"


def read_user_code(typed: str) -> str | None:
    """The code as it is generated, however it was typed: any case, full width, other or no separators.

    None when it cannot be one (RFC 8628 section 6.1).
    """
    letters = "".join(
        letter for letter in unicodedata.normalize("NFKC", typed[:64]).upper() if letter.isalnum()
    )
    if len(letters) != _LENGTH or not set(letters) <= set(ALPHABET):
        return None
    return f"{letters[:_HALF]}-{letters[_HALF:]}"
