"""Who is a member of what, as billing tells it."""

from functools import partial

import msgspec

from common.contracts.billing import MembershipChanged
from common.contracts.streams import BILLING
from common.kit.bus import Bus
from common.kit.consumer import DurableConsumer
from gateway.domain.ports import Identity
from gateway.usecases.memberships import apply_memberships

DURABLE = "gateway-memberships"


def membership_consumer(bus: Bus, identity: Identity) -> DurableConsumer[MembershipChanged]:
    """One durable for all replicas: the one that takes an event tells the others through the outbox."""
    handle = partial(apply_memberships, identity)
    decode = msgspec.json.Decoder(MembershipChanged).decode
    subject = "billing.membership.changed.v1.*"
    return DurableConsumer(bus, BILLING, DURABLE, decode, handle, subject=subject)
