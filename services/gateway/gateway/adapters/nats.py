"""Notices between gateway replicas over core NATS."""

import logging

from nats.errors import Error as NatsError

from common.contracts.streams import GROUPS_CHANGED
from common.kit.bus import Bus

_LOG = logging.getLogger(__name__)


class NatsNotices:
    """See the Notices port."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def groups_changed(self) -> None:
        """Buffered by the client while it reconnects."""
        try:
            await self._bus.client.publish(GROUPS_CHANGED, b"")
        except NatsError as error:
            _LOG.warning("a changed group reaches other replicas only when their caches age: %r", error)
