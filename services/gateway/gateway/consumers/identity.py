"""Identity events of every replica, and notices between gateways: each makes cached keys wrong.

Core subscriptions, since each replica needs each message while it lives and none from before: what was missed
while NATS was away is made good by forgetting everything.
"""

import logging

import msgspec
from nats.aio.msg import Msg

from common.contracts.streams import GROUPS_CHANGED
from common.kit.bus import Bus
from gateway.domain.key_cache import KeyCache

_LOG = logging.getLogger(__name__)


class _Named(msgspec.Struct):
    user: str


async def keep_current(bus: Bus, cache: KeyCache) -> None:
    """Drop a user's keys at every `identity.key.*` and `identity.user.*` event, all after a reconnection."""
    decoder = msgspec.json.Decoder(_Named)

    async def forget_user(message: Msg) -> None:
        try:
            cache.drop_user(decoder.decode(message.data).user)
        except msgspec.DecodeError:
            _LOG.warning("unreadable event on %s; every cached key is dropped", message.subject)
            cache.clear()

    async def forget_all(_message: Msg | None = None) -> None:
        cache.clear()

    await bus.subscribe("identity.key.>", forget_user)
    await bus.subscribe("identity.user.>", forget_user)
    await bus.subscribe(GROUPS_CHANGED, forget_all)
    bus.on_reconnect(forget_all)
