"""JetStream streams and subjects: the one place that knows their names.

Public streams (USAGE, BILLING, TASKS, IDENTITY, OAUTH) are fed only from outboxes. INTAKE is the transport
from relays to billing: transport, not truth.
"""

import msgspec

DAY_S = 86_400


class Stream(msgspec.Struct, frozen=True):
    """A stream the suite declares at start: file storage, limits retention, `max_age_s` seconds."""

    name: str
    subjects: tuple[str, ...]
    max_age_s: int = 30 * DAY_S
    duplicate_window_s: int = 120


INTAKE = Stream("INTAKE", ("intake.usage.>",), max_age_s=7 * DAY_S)
USAGE = Stream("USAGE", ("usage.recorded.v1.*",))
BILLING = Stream("BILLING", ("billing.>",))
TASKS = Stream("TASKS", ("tasks.>",))
IDENTITY = Stream("IDENTITY", ("identity.>",))
OAUTH = Stream("OAUTH", ("oauth.>",))
DLQ = Stream("DLQ", ("dlq.>", "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>"))
STREAMS = (INTAKE, USAGE, BILLING, TASKS, IDENTITY, OAUTH, DLQ)

GROUPS_CHANGED = "gateway.groups.changed"
"""Core NATS notice between gateway replicas: a group's multiplier changed, drop cached keys."""

CHANNELS_CHANGED = "relay.channels.changed"
"""Core NATS notice between relay replicas: reload the channel table."""


def event_subject(event_type: str, entity: str) -> str:
    """Subject of an event: its type tag with the account or user appended (`usage.recorded.v1.<account>`)."""
    return f"{event_type}.{entity}"


def intake_subject(replica: str) -> str:
    """Where one relay replica publishes its usage batches."""
    return f"intake.usage.{replica}"
