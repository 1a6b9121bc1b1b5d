"""Make the months to come and take the oldest away."""

import logging

from billing.domain.ports import Clock
from billing.seals.domain.partitions import Partition, due_for_detachment
from billing.seals.domain.ports import CloseStore, PartitionStore

_LOG = logging.getLogger(__name__)


class Partitions:
    """Keeps the tables of the ledger bounded; `retention_months` of 0 keeps every month attached."""

    def __init__(
        self,
        store: PartitionStore,
        closes: CloseStore,
        clock: Clock,
        months_ahead: int,
        retention_months: int,
    ) -> None:
        self._store = store
        self._closes = closes
        self._clock = clock
        self._months_ahead = months_ahead
        self._retention_months = retention_months
        self.stray_rows = 0

    async def keep(self) -> list[Partition]:
        """Create, detach and look at the default partitions; the detached ones."""
        now = self._clock()
        await self._store.create(self._months_ahead, now)
        closes = await self._closes.list_()
        last_closed = closes[-1].month if closes else None
        detached = []
        for partition in due_for_detachment(
            await self._store.list_(), last_closed, now, self._retention_months
        ):
            if await self._store.detach(partition, now):
                _LOG.info("partition %s is detached", partition.name)
                detached.append(partition)
        stray = await self._store.stray_rows()
        self.stray_rows = sum(stray.values())
        if self.stray_rows:
            _LOG.error("default partitions hold rows, which no month will be made for: %s", dict(stray))
        return detached


async def list_partitions(store: PartitionStore) -> list[Partition]:
    """By name."""
    return await store.list_()
