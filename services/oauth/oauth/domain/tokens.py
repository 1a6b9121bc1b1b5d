"""Tokens: opaque random text of which only a keyed digest is stored, so that each can be revoked at once."""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256

import msgspec

from common.contracts.oauth import ACCESS_TOKEN_PREFIX
from oauth.domain.apps import App
from oauth.domain.grants import Grant, Person
from oauth.domain.scopes import SIGN_IN

CODE_LIFETIME = timedelta(seconds=60)
ACCESS_LIFETIME = timedelta(hours=1)
REFRESH_IDLE = timedelta(days=30)
FAMILY_LIFETIME = timedelta(days=365)
"""However often it is renewed, a consent is asked again after this long."""
REFRESH_GRACE = timedelta(seconds=10)
"""A rotated refresh token that comes again this soon is a client that asked twice at once: it is refused, and
its family lives on. Later it is a replay, and the family dies (RFC 9700 section 4.14.2).
"""

ACCESS_PREFIX = ACCESS_TOKEN_PREFIX
REFRESH_PREFIX = "tor_"
CODE_PREFIX = "toc_"
DEVICE_PREFIX = "tod_"
CLIENT_SECRET_PREFIX = "tos_"  # noqa: S105  what a secret begins with
_RANDOM_BYTES = 32
_BLOCK_BYTES = 64


class Digester:
    """HMAC-SHA256 under the service's pepper: what was handed out is found by digest and never stored."""

    def __init__(self, pepper: str) -> None:
        key = pepper.encode()
        key = (sha256(key).digest() if len(key) > _BLOCK_BYTES else key).ljust(_BLOCK_BYTES, b"\0")
        # RFC 2104 by hand: to copy what was begun with the key takes a seventh of what `hmac.digest` takes.
        self._inner, self._outer = sha256(bytes(b ^ 0x36 for b in key)), sha256(bytes(b ^ 0x5C for b in key))

    def digest(self, secret: str) -> bytes:
        """32 bytes."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(secret.encode())
        outer.update(inner.digest())
        return outer.digest()


def generate(prefix: str) -> str:
    """The prefix and 43 URL-safe characters, 256 random bits."""
    return prefix + secrets.token_urlsafe(_RANDOM_BYTES)


class Family(msgspec.Struct, frozen=True):
    """All tokens that one consent led to; revoking it ends them together.

    `scopes` are those consented to. `jkt` is the DPoP key its refresh tokens are bound to, else empty.
    `nonce` and `auth_time` go into ID tokens.
    """

    id: str
    grant: str
    scopes: tuple[str, ...]
    auth_time: datetime
    created_at: datetime
    expires_at: datetime
    jkt: str = ""
    nonce: str = ""
    revoked_at: datetime | None = None


class Code(msgspec.Struct, frozen=True):
    """An authorization code, by digest. `challenge` is S256 (RFC 7636); `dpop_jkt` binds it (RFC 9449 10)."""

    digest: bytes
    family: str
    redirect_uri: str
    challenge: str
    expires_at: datetime
    dpop_jkt: str = ""
    used_at: datetime | None = None


class AccessToken(msgspec.Struct, frozen=True):
    """An access token, by digest. `jkt` not empty: it counts only with a DPoP proof by that key."""

    digest: bytes
    family: str
    scopes: tuple[str, ...]
    issued_at: datetime
    expires_at: datetime
    jkt: str = ""


class RefreshToken(msgspec.Struct, frozen=True):
    """A refresh token, by digest; `used_at` says when it was exchanged for the next one."""

    digest: bytes
    family: str
    issued_at: datetime
    expires_at: datetime
    used_at: datetime | None = None


class Standing(msgspec.Struct, frozen=True):
    """A family with what it stands on, whether it counts or not."""

    family: Family
    grant: Grant
    person: Person

    def counts_at(self, now: datetime) -> bool:
        """Whether neither family, grant nor its spending has ended and the person is enabled."""
        if self.family.revoked_at is not None or self.grant.revoked_at is not None:
            return False
        return self.person.enabled and now < self.ends_at

    @property
    def ends_at(self) -> datetime:
        """When the family ends, or what the person allowed, whichever comes first."""
        allowed_until = self.grant.spending.expires_at
        return self.family.expires_at if allowed_until is None else min(self.family.expires_at, allowed_until)


def allowed_now(scopes: Sequence[str], app: App, grant: Grant) -> tuple[str, ...]:
    """Those of `scopes` that app and grant still have."""
    return tuple(scope for scope in scopes if scope in grant.scopes and scope in app.scopes)


def is_renewed(scopes: Sequence[str]) -> bool:
    """Whether a code for these scopes gives a refresh token, too."""
    return not SIGN_IN.issuperset(scopes)


class Swap(msgspec.Struct, frozen=True, gc=False):
    """A code or refresh token, by digest, that is used up for new tokens; without `access` for nothing.

    `bound_to` not empty: the key that the family's refresh tokens are bound to from now on.
    """

    digest: bytes
    access: AccessToken | None = None
    refresh: RefreshToken | None = None
    bound_to: str = ""


class LiveToken(msgspec.Struct, frozen=True):
    """An access token that counts now, with everything it stands on.

    It is one only while neither token, family, grant nor its spending has ended, the app is not disabled and
    the person is enabled.
    """

    token: AccessToken
    family: Family
    grant: Grant
    app: App
    person: Person

    @property
    def scopes(self) -> tuple[str, ...]:
        """What it may do now: less than it was made for when person or app may do less since."""
        return allowed_now(self.token.scopes, self.app, self.grant)

    @property
    def expires_at(self) -> datetime:
        """The end of the token or of what it stands on, whichever comes first."""
        return min(self.token.expires_at, Standing(self.family, self.grant, self.person).ends_at)
