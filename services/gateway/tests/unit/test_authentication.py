"""A key becomes what it stands for, with one question to the database however many ask."""

import asyncio

import pytest

from common.contracts.errors import InvalidKeyError, UnavailableError
from common.testing.clock import FakeClock
from gateway.domain.key_cache import STALE_S, TTL_S, KeyCache
from gateway.domain.keys import OPERATOR, KeyFacts, KeyHasher
from gateway.usecases.authentication import Authenticator

SECRET = "sk-secret"


class FakeKeys:
    """A KeyFinder that knows one key and can be away or slow."""

    def __init__(self, facts: KeyFacts | None) -> None:
        self.facts = facts
        self.asked = 0
        self.away = False
        self.entered = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def find_key(self, digest: bytes) -> KeyFacts | None:
        self.asked += 1
        self.entered.set()
        await self.gate.wait()
        if self.away:
            raise UnavailableError("away")
        return self.facts if digest == KeyHasher("pepper").digest(SECRET) else None


@pytest.fixture
def keys() -> FakeKeys:
    return FakeKeys(KeyFacts("key", "ann", "account", "default", 1_000_000, ("relay",)))


@pytest.fixture
def cache(clock: FakeClock) -> KeyCache:
    return KeyCache(clock.monotonic)


@pytest.fixture
def authenticator(keys: FakeKeys, cache: KeyCache, clock: FakeClock) -> Authenticator:
    return Authenticator(keys, cache, KeyHasher("pepper"), "operator-key", clock.time)


async def test_a_known_key_is_asked_for_once(authenticator: Authenticator, keys: FakeKeys) -> None:
    for _ in range(3):
        assert await authenticator.authenticate(SECRET) == keys.facts
    assert keys.asked == 1


async def test_many_requests_at_once_ask_once(authenticator: Authenticator, keys: FakeKeys) -> None:
    keys.gate.clear()
    tasks = [asyncio.create_task(authenticator.authenticate(SECRET)) for _ in range(50)]
    await keys.entered.wait()
    tasks[0].cancel()
    keys.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1:] == [keys.facts] * 49
    assert keys.asked == 1


async def test_missing_unknown_and_expired_keys_are_refused(keys: FakeKeys, clock: FakeClock) -> None:
    facts = KeyFacts("key", "ann", "a", "default", 1, ("relay",), expires_at_s=clock.time() + 10)
    keys.facts = facts
    authenticator = Authenticator(keys, KeyCache(clock.monotonic), KeyHasher("pepper"), now=clock.time)
    for key in (None, "sk-unknown", "operator-key"):
        with pytest.raises(InvalidKeyError):
            await authenticator.authenticate(key)
    assert await authenticator.authenticate(SECRET) == facts
    clock.advance(10)
    with pytest.raises(InvalidKeyError, match="expired"):
        await authenticator.authenticate(SECRET)


async def test_the_operators_key_needs_no_database(authenticator: Authenticator, keys: FakeKeys) -> None:
    assert await authenticator.authenticate("operator-key") is OPERATOR
    assert keys.asked == 0


async def test_a_key_in_memory_outlives_its_time_while_the_database_is_away(
    authenticator: Authenticator, keys: FakeKeys, clock: FakeClock
) -> None:
    await authenticator.authenticate(SECRET)
    keys.away = True
    clock.advance(TTL_S + 1)
    assert await authenticator.authenticate(SECRET) == keys.facts
    with pytest.raises(UnavailableError):
        await authenticator.authenticate("sk-never-seen")
    clock.advance(STALE_S)
    with pytest.raises(UnavailableError):
        await authenticator.authenticate(SECRET)


async def test_a_key_revoked_while_it_was_looked_up_is_not_remembered(
    authenticator: Authenticator, keys: FakeKeys, cache: KeyCache
) -> None:
    keys.gate.clear()
    task = asyncio.create_task(authenticator.authenticate(SECRET))
    await keys.entered.wait()
    cache.drop_user("ann")
    keys.gate.set()
    await task
    keys.facts = None
    with pytest.raises(InvalidKeyError):
        await authenticator.authenticate(SECRET)
