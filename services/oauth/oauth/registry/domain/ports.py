"""What registry needs from outside."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from oauth.domain.grants import Person
from oauth.registry.domain.uses import Use


@runtime_checkable
class Directory(Protocol):
    """The people of the gateway."""

    async def find(self, user: str) -> Person | None:
        """As they are now; None when there is no such user. UnavailableError when nobody answers."""


@runtime_checkable
class Ledger(Protocol):
    """What the ledger knows of grants."""

    async def read_uses(self, grants: Sequence[str]) -> dict[str, Use] | None:
        """What each has used, those that have used nothing left out; None when nobody answers now."""
