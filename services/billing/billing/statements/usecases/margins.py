"""What each channel or model earns."""

from billing.statements.domain.margins import Margin, margins_of, total_margin
from billing.statements.domain.ports import RollupStore
from billing.statements.domain.rollups import BEGINNING, Days, RollupBy, RollupQuery

MOST = 10_000
"""Channels or models of one answer; there is no second page of a total."""


async def read_margins(store: RollupStore, by: RollupBy, days: Days) -> tuple[list[Margin], Margin]:
    """The margins of all accounts in the days, smallest first, and all of them as one."""
    rollups = await store.read(RollupQuery(None, by, "all", days), BEGINNING, MOST)
    margins = sorted(margins_of(rollups), key=lambda margin: (margin.margin_nano, margin.name))
    return margins, total_margin(margins)
