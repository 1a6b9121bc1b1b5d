"""`billing.lease.recalled.v1.*`: billing asks replicas to return idle money of an account."""

import logging

import msgspec
from nats.aio.msg import Msg

from chat_relay.usecases.leases import Leases
from common.contracts.billing import LeaseRecalled
from common.contracts.streams import event_subject
from common.kit.bus import Bus

_LOG = logging.getLogger(__name__)
_SUBJECT = event_subject("billing.lease.recalled.v1", "*")


async def follow_recalls(bus: Bus, leases: Leases) -> None:
    """Core subscription: a recall that is missed costs patience, not money."""
    decoder = msgspec.json.Decoder(LeaseRecalled)

    async def on_recall(message: Msg) -> None:
        try:
            leases.recall(decoder.decode(message.data).account)
        except msgspec.DecodeError as error:
            _LOG.warning("a recall cannot be read: %s", error)

    await bus.subscribe(_SUBJECT, on_recall)
