"""Events as they are told again: the same ids and bodies as on JetStream, in CloudEvents' JSON format.

CloudEvents 1.0, JSON event format, sections 3 (envelope) and 4 (batch). The attributes are those of the
binary mode in which common.kit.outbox publishes; `data` is the published body, byte for byte.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

import msgspec

from billing.notices.domain.errors import EventsExpiredError

EventStream = Literal["usage", "billing"]
BATCH_TYPE = "application/cloudevents-batch+json"
EVENT_TYPE = "application/cloudevents+json"
SOURCE = "/tollway/billing"
_ENCODER = msgspec.json.Encoder()


class StoredEvent(msgspec.Struct, frozen=True, gc=False):
    """An event that was published, or is about to be; `body` is what JetStream carries."""

    id: str
    type: str
    account: str
    sequence: int
    told_at: datetime
    body: bytes


class Page(msgspec.Struct, frozen=True):
    """Events in order, and the `after` that continues behind them."""

    events: list[StoredEvent]
    next: int


class Head(msgspec.Struct, frozen=True):
    """The last sequence an account has reached in each stream; 0 when it has no event there."""

    account: str
    usage: int
    billing: int


class CloudEvent(msgspec.Struct, frozen=True):
    """The JSON envelope; `sequence` has 20 digits, since that extension is sortable as text."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: str
    sequence: str
    datacontenttype: str
    data: msgspec.Raw


class EventBody(msgspec.Struct, frozen=True):
    """What every event's body has."""

    type: str
    id: str
    sequence: int
    account: str


def envelope(event: StoredEvent) -> CloudEvent:
    """The event in the structured mode."""
    return CloudEvent(
        "1.0",
        event.id,
        SOURCE,
        event.type,
        event.account,
        event.told_at.astimezone(UTC).isoformat(),
        f"{event.sequence:020d}",
        "application/json",
        msgspec.Raw(event.body),
    )


def batch(events: Sequence[StoredEvent]) -> bytes:
    """A JSON array of envelopes."""
    return _ENCODER.encode([envelope(event) for event in events])


def structured(event: StoredEvent) -> bytes:
    """One envelope."""
    return _ENCODER.encode(envelope(event))


def gap_free(events: Sequence[StoredEvent], after: int, last: int) -> list[StoredEvent]:
    """Those of one account's `events` that follow `after` without a gap, up to the first gap.

    `last` is the account's head. EventsExpiredError when there are events behind `after` and the next one is
    not kept any more: a gap is never passed over in silence.
    """
    followed: list[StoredEvent] = []
    for event in events:
        if event.sequence != after + 1 + len(followed):
            break
        followed.append(event)
    if not followed and after < last:
        resume = events[0].sequence - 1 if events else last
        raise EventsExpiredError(
            f"Events {after + 1} to {resume} are not kept any more; go on with after={resume}.", param="after"
        )
    return followed
