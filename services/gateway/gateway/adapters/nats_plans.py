"""The plan book in NATS key-value, followed."""

import asyncio
import logging
from collections.abc import Callable

import msgspec
from nats.errors import Error as NatsError
from nats.js.kv import KeyValue

from common.contracts.plans import PLANS_BUCKET, PLANS_KEY, PlanBook
from common.kit.bus import Bus

_LOG = logging.getLogger(__name__)
_RETRY_S = 0.5
_REREAD_S = 10
_FAILURES = (NatsError, TimeoutError, OSError, msgspec.DecodeError)


class NatsPlanFeed:
    """Hands every book to `load`; what was loaded stays in force while the broker is away."""

    def __init__(self, bus: Bus, load: Callable[[PlanBook], None]) -> None:
        self._bus = bus
        self._load = load
        self._decoder = msgspec.msgpack.Decoder(PlanBook)

    async def read(self) -> None:
        """Once, before requests are served; without a book the file's plans stay."""
        try:
            bucket = await self._bus.jetstream.key_value(PLANS_BUCKET)
            self._take(await bucket.get(PLANS_KEY))
        except _FAILURES as error:
            _LOG.info("no plan book yet: %r", error)

    async def run(self) -> None:
        """For ever: watch, and read again now and then, since a watch can be lost with its broker."""
        while True:
            try:
                bucket = await self._bus.jetstream.key_value(PLANS_BUCKET)
                watcher = await bucket.watch(PLANS_KEY)
                try:
                    await self._follow(bucket, watcher)
                finally:
                    await watcher.stop()  # type: ignore[no-untyped-call]
            except _FAILURES as error:
                _LOG.debug("no plan book yet: %r", error)
            await asyncio.sleep(_RETRY_S)  # nothing signals that the bucket was made or is back

    async def _follow(self, bucket: KeyValue, watcher: KeyValue.KeyWatcher) -> None:
        while True:
            try:
                entry = await watcher.updates(timeout=_REREAD_S)  # type: ignore[no-untyped-call]
            except TimeoutError:
                entry = await bucket.get(PLANS_KEY)
            if isinstance(entry, KeyValue.Entry):
                self._take(entry)

    def _take(self, entry: KeyValue.Entry) -> None:
        if entry.value:
            self._load(self._decoder.decode(entry.value))
