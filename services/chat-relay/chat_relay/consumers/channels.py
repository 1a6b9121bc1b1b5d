"""`relay.channels.changed`: another replica changed the channel table."""

import asyncio
import logging
from contextlib import suppress

from nats.aio.msg import Msg

from chat_relay.usecases.channels import Channels
from common.contracts.streams import CHANNELS_CHANGED
from common.kit.bus import Bus

_LOG = logging.getLogger(__name__)


class ChannelConsumer:
    """Reads the table again on a notice, after a reconnection, and every `period_s` in any case."""

    def __init__(self, bus: Bus, channels: Channels, period_s: float) -> None:
        self._bus = bus
        self._channels = channels
        self._period_s = period_s
        self._wake = asyncio.Event()

    async def start(self) -> None:
        """Begin to listen; `run` does the reading."""
        await self._bus.subscribe(CHANNELS_CHANGED, self._on_notice)
        self._bus.on_reconnect(self._on_reconnected)

    async def run(self) -> None:
        """For ever. What was loaded last stays in force while the database is away."""
        while True:
            with suppress(TimeoutError):  # time for the periodic look
                await asyncio.wait_for(self._wake.wait(), self._period_s)
            self._wake.clear()
            try:
                await self._channels.reload()
            except Exception:  # noqa: BLE001  whatever it is, the next look may succeed
                _LOG.exception("channels cannot be read")

    async def _on_notice(self, _message: Msg) -> None:
        self._wake.set()

    async def _on_reconnected(self) -> None:
        self._wake.set()
