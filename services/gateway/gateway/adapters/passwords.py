"""Argon2id password hashes (RFC 9106, the library's low-memory profile), computed in a thread."""

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError


class Argon2Passwords:
    """See the Passwords port; one at a time, so that logins cannot take every core from the proxy."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._turn = asyncio.Lock()

    async def hash(self, password: str) -> str:
        """An encoded hash with its own salt."""
        async with self._turn:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def verify(self, password: str, encoded: str) -> bool:
        """Whether it is the password of that hash."""
        async with self._turn:
            return await asyncio.to_thread(self._verify, password, encoded)

    def _verify(self, password: str, encoded: str) -> bool:
        try:
            return self._hasher.verify(encoded, password)
        except (VerificationError, InvalidHashError):
            return False
