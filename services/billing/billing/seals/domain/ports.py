"""What seals needs from the outside."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import date, datetime
from typing import Protocol, runtime_checkable

from billing.domain.audits import Period
from billing.seals.domain.closes import Close
from billing.seals.domain.partitions import Partition
from billing.seals.domain.reconciliations import Billed
from billing.seals.domain.seals import RowsDigest, Seal


@runtime_checkable
class SealStore(Protocol):
    """The chain and the rows under it."""

    async def settled(self) -> int:
        """A position beyond the chain up to which no row can appear any more; 0 when there is none now."""
        ...

    async def seal(self, settled: int, now: datetime) -> Seal | None:
        """Seal the next batch up to `settled`; None when there is none left or another replica seals."""
        ...

    async def newest(self, before: int | None, limit: int) -> list[Seal]:
        """Seals with a smaller number than `before`, newest first."""
        ...

    async def numbers(self, period: Period | None) -> tuple[int, int]:
        """The first and last seal with rows of the period, or of all; (1, 0) when there is none."""
        ...

    async def read(self, first: int, last: int) -> list[Seal]:
        """The seals with these numbers, in order."""
        ...

    async def recompute(self, first: int, last: int) -> Sequence[RowsDigest | None]:
        """What the rows of these seals are now; None for rows that were taken away with their table."""
        ...

    async def find(self, digest: bytes) -> int | None:
        """The number of the seal with this digest."""
        ...


@runtime_checkable
class CloseStore(Protocol):
    """Closed months."""

    async def list_(self) -> list[Close]:
        """All of them, oldest first."""
        ...

    async def bar(self, month: date) -> None:
        """Let the database refuse every new transfer in and before the month; idempotent."""
        ...

    async def unsealed(self, month: date) -> int:
        """How many transfers in or before the month are not sealed; counting stops at a thousand."""
        ...

    async def close(self, month: date, now: datetime) -> Close:
        """Add up the months since the last close and write the row; the one there is when it was done."""
        ...


@runtime_checkable
class PartitionStore(Protocol):
    """Monthly tables."""

    async def list_(self) -> list[Partition]:
        """Attached and detached ones, by name."""
        ...

    async def create(self, months: int, now: datetime) -> None:
        """Make the tables of this month and the `months` after it."""
        ...

    async def detach(self, partition: Partition, now: datetime) -> bool:
        """Take it out of its parent; False when traffic did not let go of it in time: try again later."""
        ...

    async def stray_rows(self) -> Mapping[str, int]:
        """Rows in default partitions, by table, counted up to a thousand; they should be none."""
        ...


@runtime_checkable
class BilledUsage(Protocol):
    """What was charged, for a comparison."""

    def stream(self, channel: str, period: Period) -> AsyncIterator[list[Billed]]:
        """What requests to the channel that started in the period were charged for, in pages."""
        ...
