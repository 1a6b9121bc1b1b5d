"""What the use-cases of the device flow need from storage."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from oauth.devices.domain.devices import Device, Poll
from oauth.domain.ports import OAuthTransaction


class Devices(Protocol):
    """Devices that wait, within a transaction."""

    async def add(self, device: Device) -> bool:
        """Store a new one; False when its user code is another's."""

    async def find_waiting(self, user_digest: bytes, now: datetime) -> Device | None:
        """By user code, while nobody has decided and it has not expired."""

    async def decide(self, digest: bytes, family: str | None, now: datetime) -> bool:
        """Allow it with a family, deny it with None; False when it does not wait any more."""

    async def poll(self, digest: bytes, app: str, now: datetime) -> Poll | None:
        """Note that the device of this app asks; None when there is none."""

    async def take(self, digest: bytes, now: datetime) -> str | None:
        """The family of an allowed device, once: one statement removes the device and returns it."""

    async def count_guess(self, user: str, now: datetime) -> datetime | None:
        """Count a guess of the person's as wrong; answers until when it and others have to wait, None when
        they do not.
        """

    async def forgive_guess(self, user: str) -> None:
        """It was right after all."""

    async def prune(self, now: datetime) -> None:
        """Delete what expired a while ago."""


DevicesIn = Callable[[OAuthTransaction], Devices]
"""The devices within a transaction of the store."""
