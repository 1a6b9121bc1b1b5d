"""Keys in memory: digest to facts, bounded, with entries that age and an index for invalidation."""

from collections import OrderedDict
from collections.abc import Callable

import msgspec

from gateway.domain.keys import KeyFacts

TTL_S = 60.0
"""Backstop for an invalidation that never came."""
STALE_S = 600.0
"""How long an entry serves when the database that would refresh it is away."""
NEGATIVE_TTL_S = 5.0
RETRY_S = 5.0

_APP = "app "  # no user id begins so


class Entry(msgspec.Struct):
    """`facts` None says that no such key exists. Fresh until `fresh_until_s`, usable until `stale_at_s`."""

    facts: KeyFacts | None
    fresh_until_s: float
    stale_at_s: float


class KeyCache:
    """Least recently used entries leave first: `capacity` known keys, `negative_capacity` unknown ones.

    `generation` counts invalidations of known and of unknown keys; what was read from the database before one
    must not be stored after it, so `store` takes the generation the reading began with.
    """

    def __init__(
        self, clock: Callable[[], float], capacity: int = 100_000, negative_capacity: int = 10_000
    ) -> None:
        self._clock = clock
        self._capacity = capacity
        self._negative_capacity = negative_capacity
        self._known: OrderedDict[bytes, Entry] = OrderedDict()
        self._unknown: OrderedDict[bytes, Entry] = OrderedDict()
        self._by_owner: dict[str, set[bytes]] = {}
        self.generation = (0, 0)

    def __len__(self) -> int:
        return len(self._known) + len(self._unknown)

    def fresh(self, digest: bytes) -> Entry | None:
        """The entry when it may be used without asking anybody."""
        entry = self._known.get(digest)
        if entry is not None:
            self._known.move_to_end(digest)
        else:
            entry = self._unknown.get(digest)
        return entry if entry is not None and self._clock() < entry.fresh_until_s else None

    def stale(self, digest: bytes) -> Entry | None:
        """The known entry to go on with while the database is away, for some seconds before asking again."""
        entry = self._known.get(digest)
        now_s = self._clock()
        if entry is None or now_s >= entry.stale_at_s:
            return None
        entry.fresh_until_s = min(now_s + RETRY_S, entry.stale_at_s)
        return entry

    def store(self, digest: bytes, facts: KeyFacts | None, generation: tuple[int, int]) -> None:
        """Remember what the database said, unless something was invalidated since it was asked."""
        self._drop(digest)
        if generation[0] != self.generation[0] or (facts is None and generation != self.generation):
            return
        now_s = self._clock()
        if facts is None:
            self._unknown[digest] = Entry(None, now_s + NEGATIVE_TTL_S, 0)
            if len(self._unknown) > self._negative_capacity:
                self._unknown.popitem(last=False)
            return
        self._known[digest] = Entry(facts, now_s + TTL_S, now_s + STALE_S)
        for owner in _owners(facts):
            self._by_owner.setdefault(owner, set()).add(digest)
        if len(self._known) > self._capacity:
            self._drop(next(iter(self._known)))

    def forget_unknown(self) -> None:
        """A key was made, and may be one that was unknown."""
        self.generation = (self.generation[0], self.generation[1] + 1)
        self._unknown.clear()

    def drop_user(self, user: str) -> None:
        """Something of the user changed: forget their keys, and those that were refused."""
        self._drop_owned(user)

    def drop_app(self, client_id: str) -> None:
        """The app ends, or may do less: forget the tokens it holds, whoever granted them."""
        self._drop_owned(_APP + client_id)

    def clear(self) -> None:
        """Forget everything."""
        self.generation = (self.generation[0] + 1, self.generation[1] + 1)
        self._known.clear()
        self._unknown.clear()
        self._by_owner.clear()

    def _drop_owned(self, owner: str) -> None:
        self.forget_unknown()
        self.generation = (self.generation[0] + 1, self.generation[1])
        for digest in list(self._by_owner.get(owner, ())):
            self._drop(digest)

    def _drop(self, digest: bytes) -> None:
        self._unknown.pop(digest, None)
        entry = self._known.pop(digest, None)
        if entry is None or entry.facts is None:
            return
        for owner in _owners(entry.facts):
            digests = self._by_owner[owner]
            digests.discard(digest)
            if not digests:
                del self._by_owner[owner]


def _owners(facts: KeyFacts) -> tuple[str, ...]:
    return (facts.user, _APP + facts.app) if facts.app else (facts.user,)
