"""What the use-cases of the aliases need from outside."""

from collections.abc import Callable
from datetime import datetime
from typing import Literal, Protocol

from oauth.domain.ports import OAuthTransaction


class Origins(Protocol):
    """Apps that nobody registered, within a transaction."""

    async def forget_unused(self, now: datetime) -> None:
        """Delete those made a while ago that nobody ever allowed anything."""


OriginsIn = Callable[[OAuthTransaction], Origins]
"""The origins within a transaction of the store."""


class Delegator(Protocol):
    """Management keys of people, in the hands of apps."""

    async def delegate(self, user: str, app: str, wish: Literal["get", "replace", "end"]) -> str:
        """Make, replace or end the key that the app, by client id, holds of the user.

        The secret of a key that is new, else empty.
        """
