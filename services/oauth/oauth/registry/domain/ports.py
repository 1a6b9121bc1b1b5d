"""What registry needs from outside."""

from typing import Protocol, runtime_checkable

from oauth.domain.grants import Person


@runtime_checkable
class Directory(Protocol):
    """The people of the gateway."""

    async def find(self, user: str) -> Person | None:
        """As they are now; None when there is no such user. UnavailableError when nobody answers."""
