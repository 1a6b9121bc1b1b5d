"""What identity needs from outside."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol, runtime_checkable

from oauth.identity.domain.keys import SigningKey


class KeyTransaction(Protocol):
    """The signing keys, held by this transaction alone."""

    async def list_all(self) -> list[SigningKey]:
        """All of them."""

    async def add(self, key: SigningKey) -> None:
        """Store a new one."""

    async def expire(self, kid: str, at: datetime) -> None:
        """Set until when it is published."""

    async def remove_expired(self, now: datetime) -> None:
        """Delete those that are published no more."""


@runtime_checkable
class KeyStore(Protocol):
    """Signing keys in storage."""

    def transaction(self) -> AbstractAsyncContextManager[KeyTransaction]:
        """One at a time over all replicas; UnavailableError when storage is away."""

    async def list_all(self) -> list[SigningKey]:
        """What is committed."""


@runtime_checkable
class Signer(Protocol):
    """RSA, outside the event loop."""

    async def make(self, created_at: datetime, active_at: datetime) -> SigningKey:
        """A new key."""

    def can_open(self, key: SigningKey) -> bool:
        """Whether the private key can be read."""

    async def sign(self, key: SigningKey, claims: Mapping[str, object]) -> str:
        """A compact JWS (RFC 7515) by RS256, whose header names the key."""
