"""Webhook endpoints: what may be registered, and how a delivery is signed.

Signatures follow Standard Webhooks (https://www.standardwebhooks.com): headers `webhook-id`,
`webhook-timestamp` and `webhook-signature`, HMAC-SHA256 over `id.timestamp.body`, secrets `whsec_` + base64.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from billing.domain.books import PostedOperation
from billing.domain.leases import is_uuid
from common.contracts.billing import WebhookDisabled
from common.contracts.errors import InvalidRequestError

if TYPE_CHECKING:
    from billing.domain.books import Books, Wanted

MAX_PATTERNS = 20
MAX_URL = 2000
MAX_DESCRIPTION = 500
MAX_ENDPOINTS = 20
"""Of one account."""
ROTATION_OVERLAP = timedelta(hours=24)
"""How long the secret before the newest still signs."""
NOTICES = (
    "billing.balance.*",
    "billing.budget.*",
    "billing.membership.*",
    "billing.payment.*",
    "billing.topup.*",
    "billing.webhook.*",
)
"""What an endpoint gets that names no events."""
_PREFIX = "whsec_"
_SECRET_BYTES = 32
_PATTERN = re.compile(r"[a-z0-9_.*-]{1,100}")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Secret(msgspec.Struct, frozen=True, array_like=True):
    """A signing secret; `until` is when it stops signing, None for the newest."""

    value: str
    until: datetime | None = None


class Endpoint(msgspec.Struct, frozen=True):
    """Where an account wants its events; `everybody` gets those of all accounts.

    `failing_since` is the first failure after the last success.
    """

    id: str
    account: str
    url: str
    patterns: tuple[str, ...]
    description: str
    everybody: bool
    enabled: bool
    disabled_reason: str
    failing_since: datetime | None
    created_at: datetime

    def wants(self, account: str, type_: str) -> bool:
        """Whether an event of that account and type goes here."""
        if not self.everybody and account != self.account:
            return False
        return any(fnmatchcase(type_, pattern) for pattern in self.patterns)


class Disable(msgspec.Struct, frozen=True):
    """Tell the owner, once for this run of failures, that the endpoint was disabled."""

    endpoint: str
    account: str
    url: str
    reason: str
    event: str
    size: int = 1

    def want(self, wanted: Wanted) -> None:
        """The account, and whether it was told before."""
        wanted.customers.add(self.account)
        wanted.operations.add(self.event)

    def decide(self, books: Books) -> None:
        """Tell it unless it was told."""
        if self.event in books.operations:
            return
        customer = books.customers[self.account]
        told = WebhookDisabled(
            self.event,
            customer.next_billing_sequence(),
            self.account,
            self.endpoint,
            self.url,
            self.reason,
        )
        books.tell(customer, told)
        done = PostedOperation(self.event, b"", b"")
        books.operations[self.event] = done
        books.new_operations.append(done)


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


def check_patterns(patterns: Sequence[str]) -> None:
    """Raise InvalidRequestError unless each may match an event of the BILLING stream."""
    if not 0 < len(patterns) <= MAX_PATTERNS:
        raise InvalidRequestError(f"Name 1 to {MAX_PATTERNS} events.", param="events")
    for pattern in patterns:
        head = pattern.partition("*")[0]
        possible = head.startswith("billing.") or ("*" in pattern and "billing.".startswith(head))
        if not _PATTERN.fullmatch(pattern) or not possible:
            raise InvalidRequestError(
                f"'{pattern[:100]}' matches no event of billing, such as billing.payment.* or billing.*.",
                param="events",
            )


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


def check_description(description: str) -> None:
    """Raise InvalidRequestError unless the ledger can keep it."""
    if len(description) > MAX_DESCRIPTION or "\0" in description:
        raise InvalidRequestError(
            f"A description has at most {MAX_DESCRIPTION} characters.", param="description"
        )


def check_owner(account: str) -> None:
    """Raise InvalidRequestError unless the account is one of the ledger's."""
    if not is_uuid(account):
        raise InvalidRequestError("account is not a UUID.", param="account")
