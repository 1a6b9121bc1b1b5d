"""An app's webhook: where it is told of its charges, and what was sent there."""

from datetime import datetime

import msgspec

from common.webhooks.attempts import DeliveryStatus
from common.webhooks.signatures import Secret

TEST_TYPE = "webhook.test"
"""Sent by a test alone."""


class Webhook(msgspec.Struct, frozen=True):
    """The one of an app. `failing_since` is the first failure after the last success."""

    app: str
    url: str
    enabled: bool
    disabled_reason: str
    failing_since: datetime | None
    created_at: datetime


class Delivery(msgspec.Struct, frozen=True):
    """One event. `attempts` counts those begun; `due_at` is the next one, None when none waits."""

    id: str
    event: str
    type: str
    status: DeliveryStatus
    attempts: int
    due_at: datetime | None
    response_code: int | None
    error: str
    created_at: datetime
    finished_at: datetime | None


class Due(msgspec.Struct, frozen=True):
    """A delivery that this replica may attempt, and nobody else until its lease is over."""

    id: str
    attempts: int
    app: str
    url: str
    event: str
    body: bytes
    secrets: tuple[Secret, ...]
