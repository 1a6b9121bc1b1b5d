"""What memberships need from the outside."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable

import msgspec

from billing.memberships.domain.memberships import Membership
from common.contracts.bootstrap import PlanSpec
from common.contracts.plans import PlanBook


class Standing(msgspec.Struct, frozen=True):
    """An account as it was last decided on; `allowance_until` is when its allowance's period is over."""

    membership: Membership = Membership()
    free_nano: int = 0
    allowance_until: datetime | None = None


@runtime_checkable
class PlanStore(Protocol):
    """All plans there were and are."""

    async def current(self) -> PlanBook:
        """The plans in force; version 0 without any before the first are put."""
        ...

    async def put(self, plans: Sequence[PlanSpec], source: str) -> PlanBook:
        """Put them in force in place of all others; the same plans again are no new version."""
        ...

    async def version(self) -> tuple[int, bool]:
        """The version in force, and whether every membership was reviewed under it."""
        ...

    async def mark_reviewed(self, version: int) -> None:
        """Every membership was reviewed under this version."""
        ...


@runtime_checkable
class PlanShelf(Protocol):
    """Where the gateway finds the plans."""

    async def read(self) -> tuple[PlanBook | None, int]:
        """The book that lies there and its revision; (None, 0) when none does."""
        ...

    async def replace(self, book: PlanBook, revision: int) -> bool:
        """Put the book if the shelf is still at `revision`; False when somebody else was faster."""
        ...


@runtime_checkable
class MembershipReader(Protocol):
    """Memberships, read only."""

    async def read(self, account: str) -> Standing:
        """The account's; none for an account the ledger has not met."""
        ...

    async def due(self, now: datetime, limit: int) -> tuple[str, ...]:
        """Accounts whose membership is over at `now`, the earliest first."""
        ...

    async def payers(self, after: str, limit: int) -> tuple[str, ...]:
        """Accounts that ever paid, by id, after `after`."""
        ...
