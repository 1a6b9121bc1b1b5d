"""How a webhook is signed, and where one may be sent.

Signatures follow Standard Webhooks (https://www.standardwebhooks.com): headers `webhook-id`,
`webhook-timestamp` and `webhook-signature`, HMAC-SHA256 over `id.timestamp.body`, secrets `whsec_` + base64.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import msgspec

from common.contracts.errors import InvalidRequestError

MAX_URL = 2000
ROTATION_OVERLAP = timedelta(hours=24)
"""How long the secret before the newest still signs."""
_PREFIX = "whsec_"
_SECRET_BYTES = 32
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Secret(msgspec.Struct, frozen=True, array_like=True):
    """A signing secret; `until` is when it stops signing, None for the newest."""

    value: str
    until: datetime | None = None


def new_secret() -> Secret:
    """A fresh one."""
    return Secret(_PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode())


def rotated(kept: Sequence[Secret], now: datetime) -> list[Secret]:
    """A fresh secret first, and the newest before it for ROTATION_OVERLAP: never more than two."""
    return [new_secret(), Secret(kept[0].value, now + ROTATION_OVERLAP)]


def signature(id_: str, at: datetime, body: bytes, kept: Sequence[Secret]) -> dict[str, str]:
    """The three headers; one signature for each secret that still signs, the newest first."""
    timestamp = str(int(at.timestamp()))
    content = f"{id_}.{timestamp}.".encode() + body
    signatures = []
    for secret in kept:
        if secret.until is None or secret.until > at:
            key = base64.b64decode(secret.value.removeprefix(_PREFIX))
            digest = hmac.new(key, content, hashlib.sha256).digest()
            signatures.append("v1," + base64.b64encode(digest).decode())
    return {
        "webhook-id": id_,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(signatures),
    }


def check_url(url: str, *, allow_private: bool) -> None:
    """Raise InvalidRequestError unless a webhook may be sent there, as far as the text alone can tell.

    Where the name leads is checked whenever it is connected to, since that changes.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InvalidRequestError("That is no URL.", param="url") from None
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise InvalidRequestError("A URL is printable ASCII without spaces.", param="url")
    if not parts.hostname or parts.username is not None or parts.password is not None or port == 0:
        raise InvalidRequestError("A URL has a host and no user or password.", param="url")
    local = allow_private and parts.scheme == "http" and parts.hostname in _LOOPBACK
    if parts.scheme != "https" and not local:
        raise InvalidRequestError("Webhooks are sent to https URLs only.", param="url")
    if parts.fragment:
        raise InvalidRequestError("A webhook URL has no fragment.", param="url")
