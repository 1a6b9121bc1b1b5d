"""What the use-cases of statements need from the outside."""

from typing import Protocol, runtime_checkable

from billing.statements.domain.rollups import Rollup, RollupKey, RollupQuery


@runtime_checkable
class RollupStore(Protocol):
    """Usage summed by day, and the log behind it."""

    async def watermark(self) -> int | None:
        """The last position of the log below which nothing can appear any more; None when all is folded."""
        ...

    async def fold(self, watermark: int, limit: int) -> bool:
        """Add the next `limit` positions up to the watermark to the sums; whether there is more to do here.

        False also when another replica is at it.
        """
        ...

    async def read(self, query: RollupQuery, after: RollupKey, limit: int) -> list[Rollup]:
        """The sums after a place, in one snapshot: what is folded and what is not yet."""
        ...
