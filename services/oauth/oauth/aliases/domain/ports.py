"""What the use-cases of the aliases need from storage."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from oauth.domain.ports import OAuthTransaction


class Origins(Protocol):
    """Apps that nobody registered, within a transaction."""

    async def forget_unused(self, now: datetime) -> None:
        """Delete those made a while ago that nobody ever allowed anything."""


OriginsIn = Callable[[OAuthTransaction], Origins]
"""The origins within a transaction of the store."""
