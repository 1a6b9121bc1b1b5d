"""Argon2id password hashes (RFC 9106, the library's low-memory profile), computed in a thread."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from common.contracts.errors import UnavailableError

_MOST_WAITING = 64
"""A few seconds of work; who would wait longer is told so at once."""


class Argon2Passwords:
    """See the Passwords port; one at a time, so that logins cannot take every core from the proxy."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """An encoded hash with its own salt."""
        async with self._in_turn():
            return await asyncio.to_thread(self._hasher.hash, password)

    async def verify(self, password: str, encoded: str) -> bool:
        """Whether it is the password of that hash."""
        async with self._in_turn():
            return await asyncio.to_thread(self._verify, password, encoded)

    @asynccontextmanager
    async def _in_turn(self) -> AsyncIterator[None]:
        if self._waiting >= _MOST_WAITING:
            raise UnavailableError("Too many people are signing in.", retry_after_s=5)
        self._waiting += 1
        try:
            async with self._turn:
                yield
        finally:
            self._waiting -= 1

    def _verify(self, password: str, encoded: str) -> bool:
        try:
            return self._hasher.verify(encoded, password)
        except (VerificationError, InvalidHashError):
            return False
