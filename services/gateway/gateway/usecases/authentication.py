"""Turn a credential into what it stands for: from memory, or asked for once however many wait."""

import asyncio
import hmac
import logging
import time
from collections.abc import Callable

import msgspec

from common.contracts.errors import InvalidKeyError, ServiceError, UnavailableError
from common.contracts.oauth import ACCESS_TOKEN_PREFIX
from gateway.domain.errors import InvalidTokenError
from gateway.domain.key_cache import KeyCache
from gateway.domain.keys import OPERATOR, KeyFacts, KeyHasher
from gateway.domain.ports import KeyFinder, PersonFinder, Tokens
from gateway.domain.tokens import token_facts

_LOG = logging.getLogger(__name__)
_LOOKUP_TIMEOUT_S = 3

_INVALID = "Incorrect API key provided. It is unknown, revoked, or was made for another installation."
_INVALID_ACCESS = "The access token is unknown, expired or revoked."


class Finders(msgspec.Struct, frozen=True):
    """Who is asked for what is not in memory."""

    keys: KeyFinder
    people: PersonFinder
    tokens: Tokens


class Authenticator:
    """Checks credentials. `now` is Unix seconds, for expiry."""

    def __init__(
        self,
        finders: Finders,
        cache: KeyCache,
        hasher: KeyHasher,
        admin_key: str = "",
        now: Callable[[], float] = time.time,
    ) -> None:
        self._finders = finders
        self._cache = cache
        self._hasher = hasher
        self._admin_digest = hasher.digest(admin_key) if admin_key else b""
        self._now = now
        self._lookups: dict[bytes, asyncio.Task[KeyFacts | None]] = {}

    async def authenticate(self, key: str | None) -> KeyFacts:
        """The facts of a usable key or access token.

        Raises InvalidKeyError or InvalidTokenError, or UnavailableError when it is not in memory and whoever
        knows it is away.
        """
        if key is None:
            raise InvalidKeyError("You didn't provide an API key: send it as `Authorization: Bearer KEY`.")
        digest = self._hasher.digest(key)
        if self._admin_digest and hmac.compare_digest(digest, self._admin_digest):
            return OPERATOR
        entry = self._cache.fresh(digest)
        facts = entry.facts if entry is not None else await self._find(digest, key)
        if facts is None:
            raise _refusal(key, _INVALID)
        if facts.expires_at_s is not None and facts.expires_at_s <= self._now():
            raise _refusal(key, "This API key has expired.")
        if facts.plan_until_s is not None and facts.plan_until_s <= self._now():
            return facts.lapsed or facts
        return facts

    async def _find(self, digest: bytes, key: str) -> KeyFacts | None:
        task = self._lookups.get(digest)
        if task is None:
            task = self._lookups[digest] = asyncio.create_task(self._look_up(digest, key))
            task.add_done_callback(lambda _: self._lookups.pop(digest, None))
        # Shielded: one client that leaves must not take the answer away from the others.
        return await asyncio.shield(task)

    async def _look_up(self, digest: bytes, key: str) -> KeyFacts | None:
        generation = self._cache.generation
        try:
            async with asyncio.timeout(_LOOKUP_TIMEOUT_S):
                facts = await (
                    self._find_token(key) if _is_token(key) else self._finders.keys.find_key(digest)
                )
        except (UnavailableError, TimeoutError) as error:
            entry = self._cache.stale(digest)
            if entry is None:
                raise UnavailableError("Credentials cannot be checked right now.", retry_after_s=1) from error
            _LOG.warning("a known credential goes on although it cannot be checked: %r", error)
            return entry.facts
        self._cache.store(digest, facts, generation)
        return facts

    async def _find_token(self, token: str) -> KeyFacts | None:
        found = await self._finders.tokens.check(token)
        person = None if found is None else await self._finders.people.find_person(found.user)
        return None if found is None or person is None else token_facts(person, found)


def _is_token(key: str) -> bool:
    return key.startswith(ACCESS_TOKEN_PREFIX)


def _refusal(key: str, message: str) -> ServiceError:
    return InvalidTokenError(_INVALID_ACCESS) if _is_token(key) else InvalidKeyError(message)
