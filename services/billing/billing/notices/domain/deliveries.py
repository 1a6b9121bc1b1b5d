"""Deliveries of an account's events; when one is tried again is common.webhooks.attempts."""

from datetime import datetime

import msgspec

from billing.notices.domain.webhooks import Endpoint
from common.webhooks.attempts import DeliveryStatus
from common.webhooks.signatures import Secret


class Delivery(msgspec.Struct, frozen=True):
    """One event for one endpoint. `attempts` counts those begun; `error` says why the last one failed.

    `due_at` is the next attempt, None while one is under way and when there will be none.
    """

    id: str
    endpoint: str
    event: str
    type: str
    account: str
    sequence: int
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
    event: str
    body: bytes
    endpoint: Endpoint
    secrets: tuple[Secret, ...]

    @property
    def url(self) -> str:
        """Where to."""
        return self.endpoint.url
