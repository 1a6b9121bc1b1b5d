"""Durable consumer of the gateway's word that something about a user changed: above all, disabled or not."""

from collections.abc import Sequence

import msgspec

from common.contracts.identity import UserUpdated
from common.contracts.streams import IDENTITY, event_subject
from common.kit.bus import Bus
from common.kit.consumer import DurableConsumer
from oauth.domain.ports import Store
from oauth.registry.domain.ports import Directory
from oauth.registry.usecases.people import follow_people

DURABLE = "oauth-people"


def follow_users(bus: Bus, store: Store, directory: Directory) -> DurableConsumer[UserUpdated]:
    """The consumer; a gateway or database that is away is waited for."""

    async def handle(batch: Sequence[UserUpdated]) -> None:
        changed: dict[str, int] = {}
        for event in batch:
            changed[event.user] = max(event.sequence, changed.get(event.user, 0))
        await follow_people(store, directory, changed)

    decode = msgspec.json.Decoder(UserUpdated).decode
    tag = str(UserUpdated.__struct_config__.tag)
    return DurableConsumer(bus, IDENTITY, DURABLE, decode, handle, subject=event_subject(tag, "*"))
