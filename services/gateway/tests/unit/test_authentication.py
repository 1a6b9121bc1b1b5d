"""A key becomes what it stands for, with one question to the database however many ask."""

import asyncio

import pytest

from common.contracts.errors import InvalidKeyError, UnavailableError
from common.contracts.oauth import TokenFound
from common.contracts.principals import Budget, Limits
from common.testing.clock import FakeClock
from gateway.domain.errors import InvalidTokenError
from gateway.domain.key_cache import STALE_S, TTL_S, KeyCache
from gateway.domain.keys import OPERATOR, KeyFacts, KeyHasher
from gateway.usecases.authentication import Authenticator, Finders

SECRET = "sk-secret"
TOKEN = "toa_token"


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


class FakeOAuth:
    """Tokens and PersonFinder of one person with one token; each can be taken away."""

    def __init__(self) -> None:
        self.person: KeyFacts | None = KeyFacts("", "ann", "account", "default", 500_000, ())
        self.found: TokenFound | None = TokenFound(
            "grant", "app-1", "ann", "account", ("relay", "charge"), 2**40
        )
        self.asked = 0
        self.away = False

    async def check(self, token: str) -> TokenFound | None:
        self.asked += 1
        if self.away:
            raise UnavailableError("away")
        return self.found if token == TOKEN else None

    async def find_person(self, user: str) -> KeyFacts | None:
        return self.person if user == "ann" else None


def _finders(keys: FakeKeys, oauth: FakeOAuth | None = None) -> Finders:
    oauth = oauth or FakeOAuth()
    return Finders(keys, oauth, oauth)


@pytest.fixture
def keys() -> FakeKeys:
    return FakeKeys(KeyFacts("key", "ann", "account", "default", 1_000_000, ("relay",)))


@pytest.fixture
def cache(clock: FakeClock) -> KeyCache:
    return KeyCache(clock.monotonic)


@pytest.fixture
def authenticator(keys: FakeKeys, cache: KeyCache, clock: FakeClock) -> Authenticator:
    return Authenticator(_finders(keys), cache, KeyHasher("pepper"), "operator-key", clock.time)


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
    cache = KeyCache(clock.monotonic)
    authenticator = Authenticator(_finders(keys), cache, KeyHasher("pepper"), now=clock.time)
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


@pytest.fixture
def oauth() -> FakeOAuth:
    return FakeOAuth()


@pytest.fixture
def with_oauth(keys: FakeKeys, oauth: FakeOAuth, cache: KeyCache, clock: FakeClock) -> Authenticator:
    return Authenticator(_finders(keys, oauth), cache, KeyHasher("pepper"), "operator-key", clock.time)


async def test_a_token_stands_for_its_person_through_the_grant_and_may_only_relay(
    with_oauth: Authenticator, oauth: FakeOAuth, keys: FakeKeys
) -> None:
    budget = Budget(5, "month")
    scopes = ("relay", "account", "admin", "charge")
    oauth.found = TokenFound("grant", "app-1", "ann", "another", scopes, 2**40, budget)
    for _ in range(3):
        facts = await with_oauth.authenticate(TOKEN)
    assert (facts.key, facts.spender_kind, facts.app) == ("grant", "grant", "app-1")
    assert (facts.user, facts.account, facts.rate_micro) == ("ann", "account", 500_000)
    assert (facts.scopes, facts.limits) == (("relay",), Limits(budget=budget))
    assert (oauth.asked, keys.asked) == (1, 0)


async def test_a_token_ends_with_its_last_second_and_a_plan_before_it_with_its_own(
    with_oauth: Authenticator, oauth: FakeOAuth, clock: FakeClock
) -> None:
    lapsed = KeyFacts("", "ann", "account", "default", 2, ())
    oauth.person = KeyFacts("", "ann", "account", "gold", 1, (), plan_until_s=clock.time() + 5, lapsed=lapsed)
    oauth.found = TokenFound("grant", "app-1", "ann", "account", ("relay",), int(clock.time()) + 10)
    assert (await with_oauth.authenticate(TOKEN)).group == "gold"
    clock.advance(5)
    facts = await with_oauth.authenticate(TOKEN)
    assert (facts.group, facts.key, facts.scopes, facts.app) == ("default", "grant", ("relay",), "app-1")
    clock.advance(5)
    with pytest.raises(InvalidTokenError):
        await with_oauth.authenticate(TOKEN)


async def test_unknown_tokens_and_those_of_disabled_people_are_invalid(
    with_oauth: Authenticator, oauth: FakeOAuth, cache: KeyCache
) -> None:
    with pytest.raises(InvalidTokenError):
        await with_oauth.authenticate("toa_other")
    oauth.person = None
    with pytest.raises(InvalidTokenError):
        await with_oauth.authenticate(TOKEN)
    asked = oauth.asked
    with pytest.raises(InvalidTokenError):
        await with_oauth.authenticate(TOKEN)
    assert oauth.asked == asked
    cache.drop_user("ann")
    oauth.person = KeyFacts("", "ann", "account", "default", 1, ())
    assert (await with_oauth.authenticate(TOKEN)).key == "grant"


async def test_a_token_without_the_scope_is_known_all_the_same(
    with_oauth: Authenticator, oauth: FakeOAuth
) -> None:
    oauth.found = TokenFound("grant", "app-1", "ann", "account", ("openid",), 2**40)
    for _ in range(2):
        assert (await with_oauth.authenticate(TOKEN)).scopes == ()
    assert oauth.asked == 1


async def test_a_known_token_goes_on_while_the_oauth_service_is_away_but_not_past_its_end(
    with_oauth: Authenticator, oauth: FakeOAuth, clock: FakeClock
) -> None:
    oauth.found = TokenFound("grant", "app-1", "ann", "account", ("relay",), int(clock.time() + STALE_S - 60))
    await with_oauth.authenticate(TOKEN)
    oauth.away = True
    clock.advance(TTL_S + 1)
    assert (await with_oauth.authenticate(TOKEN)).key == "grant"
    with pytest.raises(UnavailableError):
        await with_oauth.authenticate("toa_never-seen")
    clock.advance(STALE_S - 60 - TTL_S)
    with pytest.raises(InvalidTokenError):
        await with_oauth.authenticate(TOKEN)
