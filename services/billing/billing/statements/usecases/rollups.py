"""Fold new usage into the daily table, and sum it."""

from billing.statements.domain.ports import RollupStore
from billing.statements.domain.rollups import Rollup, RollupKey, RollupQuery

BATCH = 20_000
"""Positions of one transaction: about a second of work."""


async def roll_up(store: RollupStore) -> None:
    """Fold everything that is settled now. However often and wherever it runs, each record counts once."""
    watermark = await store.watermark()
    while watermark is not None and await store.fold(watermark, BATCH):
        pass


async def sum_usage(store: RollupStore, query: RollupQuery, after: RollupKey, limit: int) -> list[Rollup]:
    """The sums after a place, by period and then by name; exact to the nano at the moment it is asked."""
    return await store.read(query, after, limit)
