"""Usage from the relays, off the intake stream."""

from collections.abc import Sequence

import msgspec

from billing.usecases.usage import UsageCharger
from common.contracts.streams import INTAKE
from common.contracts.usage import UsageBatch
from common.kit.bus import Bus
from common.kit.consumer import DurableConsumer

DURABLE = "billing-usage"
_BATCH = 64
_ACK_WAIT_S = 6.0
"""After a crash the messages in hand come again this late, and leases wait for them; a little more than the
writer's patience with an absent database, which is no crash.
"""
_LINGER_S = 0.1
"""Relays publish every 5 ms; a transaction for each such message would cost more than all it charges."""


class UsageConsumer(DurableConsumer[UsageBatch]):
    """Feeds the messages of INTAKE to the charger; acknowledged once charged."""

    def __init__(self, bus: Bus, charger: UsageCharger) -> None:
        decoder = msgspec.msgpack.Decoder(UsageBatch)

        async def handle(batches: Sequence[UsageBatch]) -> None:
            await charger.charge_usage(batches)

        super().__init__(
            bus,
            INTAKE,
            DURABLE,
            decoder.decode,
            handle,
            batch=_BATCH,
            ack_wait_s=_ACK_WAIT_S,
            linger_s=_LINGER_S,
        )
