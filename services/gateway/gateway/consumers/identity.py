"""Identity events of every replica, and notices between gateways: each makes cached keys wrong.

Core subscriptions, since each replica needs each message while it lives and none from before: what was missed
while NATS was away is made good by forgetting everything.
"""

import logging

import msgspec
from nats.aio.msg import Msg

from common.contracts.identity import IdentityEvent, KeyCreated, UserCreated
from common.contracts.streams import GROUPS_CHANGED
from common.kit.bus import Bus
from gateway.domain.key_cache import KeyCache

_LOG = logging.getLogger(__name__)


async def keep_current(bus: Bus, cache: KeyCache) -> None:
    """Apply every `identity.key.*` and `identity.user.*` event; forget everything after a reconnection."""
    decoder = msgspec.json.Decoder(IdentityEvent)

    async def on_event(message: Msg) -> None:
        try:
            apply_event(cache, decoder.decode(message.data))
        except msgspec.DecodeError:
            _LOG.warning("unreadable event on %s: every cached key is dropped", message.subject)
            cache.clear()

    async def forget_all(_message: Msg | None = None) -> None:
        cache.clear()

    await bus.subscribe("identity.key.>", on_event)
    await bus.subscribe("identity.user.>", on_event)
    await bus.subscribe(GROUPS_CHANGED, forget_all)
    bus.on_reconnect(forget_all)


def apply_event(cache: KeyCache, event: IdentityEvent) -> None:
    """What is new makes no known key wrong; every other event drops the keys of its user."""
    if isinstance(event, KeyCreated | UserCreated):
        cache.forget_unknown()
    else:
        cache.drop_user(event.user)
