"""Webhook endpoints: what may be registered, and which events go there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import msgspec

from billing.domain.books import PostedOperation
from billing.domain.leases import is_uuid
from common.contracts.billing import WebhookDisabled
from common.contracts.errors import InvalidRequestError

if TYPE_CHECKING:
    from billing.domain.books import Books, Wanted

MAX_PATTERNS = 20
MAX_DESCRIPTION = 500
MAX_ENDPOINTS = 20
"""Of one account."""
NOTICES = (
    "billing.balance.*",
    "billing.budget.*",
    "billing.membership.*",
    "billing.payment.*",
    "billing.topup.*",
    "billing.webhook.*",
)
"""What an endpoint gets that names no events."""
_PATTERN = re.compile(r"[a-z0-9_.*-]{1,100}")


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
