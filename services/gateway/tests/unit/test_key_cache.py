"""Keys in memory: bounded, ageing, and never older than the last invalidation."""

from common.contracts.identity import KeyCreated, KeyRevoked, KeyUpdated, UserCreated, UserUpdated
from common.contracts.oauth import (
    AppDisabled,
    AppNarrowed,
    GrantCreated,
    GrantRevoked,
    GrantUpdated,
    OAuthEvent,
    TokensRevoked,
)
from common.testing.clock import FakeClock
from gateway.consumers.identity import apply_event
from gateway.consumers.tokens import apply_oauth_event
from gateway.domain.key_cache import NEGATIVE_TTL_S, STALE_S, TTL_S, KeyCache
from gateway.domain.keys import KeyFacts


def _facts(key: str = "key", user: str = "ann") -> KeyFacts:
    return KeyFacts(key, user, f"account of {user}", "default", 1_000_000, ("relay",))


def _token(user: str, app: str) -> KeyFacts:
    return KeyFacts("grant", user, "account", "default", 1, ("relay",), spender_kind="grant", app=app)


def test_entries_age_and_unknown_keys_age_sooner(clock: FakeClock) -> None:
    cache = KeyCache(clock.monotonic)
    cache.store(b"known", _facts(), cache.generation)
    cache.store(b"unknown", None, cache.generation)
    clock.advance(NEGATIVE_TTL_S - 0.1)
    entry = cache.fresh(b"unknown")
    assert entry is not None
    assert entry.facts is None
    clock.advance(0.2)
    assert cache.fresh(b"unknown") is None
    assert cache.fresh(b"known") is not None
    clock.advance(TTL_S)
    assert cache.fresh(b"known") is None


def test_a_known_key_goes_on_for_a_while_when_it_cannot_be_checked(clock: FakeClock) -> None:
    cache = KeyCache(clock.monotonic)
    cache.store(b"known", _facts(), cache.generation)
    cache.store(b"unknown", None, cache.generation)
    clock.advance(TTL_S + 1)
    assert cache.stale(b"known") is not None
    assert cache.fresh(b"known") is not None
    assert cache.stale(b"unknown") is None
    clock.advance(STALE_S)
    assert cache.fresh(b"known") is None
    assert cache.stale(b"known") is None


def test_both_kinds_are_bounded_and_the_longest_unused_leaves(clock: FakeClock) -> None:
    cache = KeyCache(clock.monotonic, capacity=3, negative_capacity=2)
    for number in range(3):
        cache.store(b"%d" % number, _facts(user=f"user {number}"), cache.generation)
    assert cache.fresh(b"0") is not None
    cache.store(b"3", _facts(user="user 3"), cache.generation)
    assert cache.fresh(b"0") is not None
    assert cache.fresh(b"1") is None
    for number in range(100):
        cache.store(b"unknown %d" % number, None, cache.generation)
    assert len(cache) == 5
    assert len(cache._by_owner) == 3


def test_what_was_read_before_an_invalidation_is_not_stored_after_it(clock: FakeClock) -> None:
    cache = KeyCache(clock.monotonic)
    generation = cache.generation
    cache.drop_user("ann")
    cache.store(b"known", _facts(), generation)
    cache.store(b"unknown", None, generation)
    assert len(cache) == 0


def test_each_event_drops_what_it_makes_wrong(clock: FakeClock) -> None:
    cache = KeyCache(clock.monotonic)

    def left_after(event: object) -> tuple[bool, bool, bool]:
        cache.store(b"anns", _facts(), cache.generation)
        cache.store(b"bobs", _facts("other", "bob"), cache.generation)
        cache.store(b"unknown", None, cache.generation)
        apply_event(cache, event)  # type: ignore[arg-type]
        found = [cache.fresh(digest) is not None for digest in (b"anns", b"bobs", b"unknown")]
        return found[0], found[1], found[2]

    assert left_after(KeyCreated("1", 1, "ann", "a", "k", "n", "p")) == (True, True, False)
    assert left_after(UserCreated("1", 1, "ann", "a", "g")) == (True, True, False)
    assert left_after(KeyUpdated("1", 1, "ann", "a", "k")) == (False, True, False)
    assert left_after(KeyRevoked("1", 1, "ann", "a", "k")) == (False, True, False)
    assert left_after(UserUpdated("1", 1, "ann", "a")) == (False, True, False)
    cache.clear()
    assert len(cache) == 0


def test_a_disabled_app_takes_its_tokens_along_and_leaves_everything_else(clock: FakeClock) -> None:
    cache = KeyCache(clock.monotonic)
    cache.store(b"key", _facts(user="ann"), cache.generation)
    cache.store(b"own", _token("ann", "app-1"), cache.generation)
    cache.store(b"foreign", _token("bob", "app-1"), cache.generation)
    cache.store(b"other", _token("bob", "app-2"), cache.generation)
    generation = cache.generation
    cache.drop_app("app-1")
    assert [cache.fresh(name) is not None for name in (b"key", b"own", b"foreign", b"other")] == [
        True,
        False,
        False,
        True,
    ]
    cache.store(b"own", _token("ann", "app-1"), generation)
    assert cache.fresh(b"own") is None
    cache.drop_user("bob")
    cache.drop_user("ann")
    assert (len(cache), cache._by_owner) == (0, {})


def test_what_a_grant_event_says_decides_what_is_forgotten(clock: FakeClock) -> None:
    cache = KeyCache(clock.monotonic)
    ids = {"id": "e", "sequence": 1, "user": "ann", "app": "app-1"}
    grant = ids | {"account": "a", "grant": "g"}
    events: list[tuple[OAuthEvent, bool]] = [
        (GrantCreated(**grant, scopes=("relay",)), True),  # type: ignore[arg-type]
        (GrantUpdated(**grant, scopes=("relay",)), False),  # type: ignore[arg-type]
        (GrantRevoked(**grant, by="user"), False),  # type: ignore[arg-type]
        (TokensRevoked(**grant, by="app"), False),  # type: ignore[arg-type]
        (AppDisabled(**ids), False),  # type: ignore[arg-type]
        (AppNarrowed(**ids, scopes=()), False),  # type: ignore[arg-type]
        (AppDisabled(**(ids | {"app": "app-2"})), True),  # type: ignore[arg-type]
    ]
    for event, stays in events:
        cache.store(b"token", _token("ann", "app-1"), cache.generation)
        apply_oauth_event(cache, event)
        assert (cache.fresh(b"token") is not None) is stays, event
