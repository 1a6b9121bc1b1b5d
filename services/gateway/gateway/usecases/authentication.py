"""Turn a key into what it stands for: from memory, or once from the database however many ask."""

import asyncio
import hmac
import logging
import time
from collections.abc import Callable

from common.contracts.errors import InvalidKeyError, UnavailableError
from gateway.domain.key_cache import KeyCache
from gateway.domain.keys import OPERATOR, KeyFacts, KeyHasher
from gateway.domain.ports import KeyFinder

_LOG = logging.getLogger(__name__)
_LOOKUP_TIMEOUT_S = 3

_INVALID = "Incorrect API key provided. It is unknown, revoked, or was made for another installation."


class Authenticator:
    """Checks credentials. `now` is Unix seconds, for expiry."""

    def __init__(
        self,
        finder: KeyFinder,
        cache: KeyCache,
        hasher: KeyHasher,
        admin_key: str = "",
        now: Callable[[], float] = time.time,
    ) -> None:
        self._finder = finder
        self._cache = cache
        self._hasher = hasher
        self._admin_digest = hasher.digest(admin_key) if admin_key else b""
        self._now = now
        self._lookups: dict[bytes, asyncio.Task[KeyFacts | None]] = {}

    async def authenticate(self, key: str | None) -> KeyFacts:
        """The facts of a usable key.

        Raises InvalidKeyError, or UnavailableError when the key is not in memory and the database is away.
        """
        if key is None:
            raise InvalidKeyError("You didn't provide an API key: send it as `Authorization: Bearer KEY`.")
        digest = self._hasher.digest(key)
        if self._admin_digest and hmac.compare_digest(digest, self._admin_digest):
            return OPERATOR
        entry = self._cache.fresh(digest)
        facts = entry.facts if entry is not None else await self._find(digest)
        if facts is None:
            raise InvalidKeyError(_INVALID)
        if facts.expires_at_s is not None and facts.expires_at_s <= self._now():
            raise InvalidKeyError("This API key has expired.")
        if facts.plan_until_s is not None and facts.plan_until_s <= self._now():
            return facts.lapsed or facts
        return facts

    async def _find(self, digest: bytes) -> KeyFacts | None:
        task = self._lookups.get(digest)
        if task is None:
            task = self._lookups[digest] = asyncio.create_task(self._look_up(digest))
            task.add_done_callback(lambda _: self._lookups.pop(digest, None))
        # Shielded: one client that leaves must not take the answer away from the others.
        return await asyncio.shield(task)

    async def _look_up(self, digest: bytes) -> KeyFacts | None:
        generation = self._cache.generation
        try:
            async with asyncio.timeout(_LOOKUP_TIMEOUT_S):
                facts = await self._finder.find_key(digest)
        except (UnavailableError, TimeoutError) as error:
            entry = self._cache.stale(digest)
            if entry is None:
                raise UnavailableError("API keys cannot be checked right now.", retry_after_s=1) from error
            _LOG.warning("the database is away; a known key goes on: %r", error)
            return entry.facts
        self._cache.store(digest, facts, generation)
        return facts
