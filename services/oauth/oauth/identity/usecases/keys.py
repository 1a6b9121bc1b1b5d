"""Signing keys: made in time, published, replaced."""

from collections.abc import Sequence
from datetime import datetime

from common.contracts.errors import UnavailableError
from oauth.domain.ports import Clock
from oauth.identity.domain.keys import SigningKey, end_of, is_gone, next_start, published_keys, signing_key
from oauth.identity.domain.ports import KeyStore, Signer

KEEP_EVERY_S = 10.0
"""How soon every replica knows of a key that another has made."""


class KeyRing:
    """Keys by one store and one clock. They are read into memory, those to come as well, so that to sign
    and to publish asks nobody.
    """

    def __init__(self, store: KeyStore, signer: Signer, clock: Clock) -> None:
        self._store = store
        self._signer = signer
        self._clock = clock
        self._keys: Sequence[SigningKey] = ()

    async def keep(self) -> None:
        """Read the keys, make the one that is due, forget those that are done; call it every KEEP_EVERY_S.

        Of many replicas at once one makes it.
        """
        self._keys = await self._store.list_all()
        now = self._clock()
        is_due = bool(self._keys) and next_start(self._keys, now, asked=False) is not None
        if is_due or any(is_gone(key, now) for key in self._keys):
            await self._replace(asked=False, at_once=False)

    async def rotate(self, *, at_once: bool) -> list[SigningKey]:
        """The keys published from now on, with a new one that takes over when all have had time to see it.

        `at_once` is for a key that leaked: the new one signs now, the others are published no more, and ID
        tokens that they signed are worth nothing. Other replicas follow within KEEP_EVERY_S.
        """
        await self._replace(asked=True, at_once=at_once)
        return published_keys(self._keys, self._clock())

    async def published(self) -> list[SigningKey]:
        """The newest first; there is always one."""
        if signing_key(self._keys, self._clock()) is None:
            await self._replace(asked=False, at_once=False)
        return published_keys(self._keys, self._clock())

    async def sign(self, claims: dict[str, object]) -> str:
        """A JWT by the key in use; UnavailableError.

        A key that this `secret_key` does not open is replaced at once.
        """
        key = signing_key(self._keys, self._clock())
        if key is None or not self._signer.can_open(key):
            await self._replace(asked=False, at_once=False)
            key = signing_key(self._keys, self._clock())
        if key is None:  # the clock went back
            raise UnavailableError("There is no key to sign with yet.", retry_after_s=1)
        return await self._signer.sign(key, claims)

    async def _replace(self, *, asked: bool, at_once: bool) -> None:
        now = self._clock()
        async with self._store.transaction() as work:
            await work.remove_expired(now)
            keys = await work.list_all()
            start = self._start(keys, asked=asked, at_once=at_once)
            if start is not None:
                made = await self._signer.make(now, start)
                await work.add(made)
                for key in keys:
                    await work.expire(key.kid, end_of(key, made, at_once=at_once))
                keys = await work.list_all()
        self._keys = keys

    def _start(self, keys: Sequence[SigningKey], *, asked: bool, at_once: bool) -> datetime | None:
        """When the key that must be made now is to sign; None when none must."""
        now = self._clock()
        current = signing_key(keys, now)
        if at_once or (current is not None and not self._signer.can_open(current)):
            return now
        return next_start(keys, now, asked=asked)
