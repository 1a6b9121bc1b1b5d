"""Price past usage again under a draft of the price book. Nothing is changed."""

import asyncio

from billing.domain.ports import PriceStore, UsageHistory
from billing.domain.prices import Draft
from billing.domain.simulations import Simulation, UseFilter
from common.contracts.errors import RateLimitedError


class Simulator:
    """One simulation at a time and process: each reads as many records as the period has."""

    def __init__(self, store: PriceStore, history: UsageHistory) -> None:
        self._store = store
        self._history = history
        self._lock = asyncio.Lock()

    async def simulate(self, draft: Draft, wanted: UseFilter) -> Simulation:
        """The sums of the wanted usage, as charged and under the draft laid over the book of now.

        RateLimitedError while another simulation runs.
        """
        if self._lock.locked():
            raise RateLimitedError("Another simulation is running.", retry_after_s=5)
        async with self._lock:
            simulation = Simulation(await self._store.current(), draft)
            await self._history.each(wanted, simulation.add)
            return simulation
