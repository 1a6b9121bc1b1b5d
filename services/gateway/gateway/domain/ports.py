"""What the gateway needs from the outside world."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol, runtime_checkable

from common.contracts.identity import IdentityEvent
from common.contracts.oauth import TokenFound
from common.contracts.routes import Service
from gateway.domain.groups import Group
from gateway.domain.keys import Key, KeyFacts
from gateway.domain.plans import Membership
from gateway.domain.sessions import Session
from gateway.domain.users import User


@runtime_checkable
class KeyFinder(Protocol):
    """Looks keys up by their digest."""

    async def find_key(self, digest: bytes) -> KeyFacts | None:
        """The facts of a live key of an enabled user; UnavailableError when they cannot be read now."""


@runtime_checkable
class PersonFinder(Protocol):
    """Looks people up for whom an app acts."""

    async def find_person(self, user: str) -> KeyFacts | None:
        """The facts of an enabled user, of no key and without scopes; UnavailableError as above."""


@runtime_checkable
class Tokens(Protocol):
    """The access tokens that the OAuth service issued."""

    async def check(self, token: str) -> TokenFound | None:
        """A token that counts now, None for any other; UnavailableError when nobody can tell."""


@runtime_checkable
class Answer(Protocol):
    """A service's answer on its way; `headers` are raw and in order."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]

    @property
    def at_end(self) -> bool:
        """Whether every byte was handed out and the answer is complete."""

    def ready(self) -> bytes:
        """What has arrived, without waiting; may be empty."""

    async def next(self) -> bytes:
        """What arrives next; empty at the end. Raises AnswerCutError when the service is gone before it."""

    def close(self) -> None:
        """End the exchange; if the answer is not complete, the service sees its caller leave."""


@runtime_checkable
class Services(Protocol):
    """The services behind the gateway."""

    async def send(
        self,
        service: Service,
        method: str,
        target: bytes,
        headers: list[tuple[bytes, bytes]],
        body: bytes | AsyncIterator[bytes],
        length: bytes | None,
    ) -> Answer:
        """Send a request to the path and query `target`, as written; returns with the answer's headers.

        `length` is the Content-Length the client sent, None when it sent none.

        Raises UnavailableError when nobody is there (nothing was done), UpstreamError when the service went
        away before it answered (what it did is unknown).
        """


class Users(Protocol):
    """People, within a transaction."""

    async def add(self, user: User) -> bool:
        """Store a new user; False when the address is taken."""

    async def get(self, user: str) -> User | None:
        """By id."""

    async def find(self, email: str) -> User | None:
        """By address, any case."""

    async def find_account(self, account: str) -> User | None:
        """The owner of an account."""

    async def lock(self, user: str) -> User | None:
        """By id, locked until the transaction ends: changes of one user's things come one after the other."""

    async def update(self, user: User) -> None:
        """Store role, group, password hash and whether it is enabled."""

    async def list_page(self, after: str | None, limit: int) -> list[User]:
        """Up to `limit` users in the order they were made, after an id."""


class Keys(Protocol):
    """API keys, within a transaction."""

    async def add(self, key: Key) -> bool:
        """Store a new key; False when the same secret, or a live key of that name and user, exists."""

    async def get(self, key: str) -> Key | None:
        """By id."""

    async def find(self, user: str, name: str) -> Key | None:
        """The user's key of that name: the live one, else the one revoked last."""

    async def update(self, key: Key) -> None:
        """Store name, limits, models, addresses, expiry, budget, scopes, and when it was revoked."""

    async def list_page(self, user: str | None, after: str | None, limit: int) -> list[Key]:
        """Up to `limit` keys (of one user) in the order they were made, after an id."""


class Groups(Protocol):
    """Groups and their multipliers, within a transaction."""

    async def put(self, group: Group) -> bool:
        """Store it; True when that changed anything."""

    async def get(self, name: str) -> Group | None:
        """By name."""

    async def list_all(self) -> list[Group]:
        """All, by name."""


class Sessions(Protocol):
    """Signed-in browsers, within a transaction; each is found by the digest of its token."""

    async def add(self, session: Session) -> None:
        """Store a new session."""

    async def find(self, digest: bytes) -> Session | None:
        """The session, whether it is still live or not."""

    async def seen(self, digest: bytes, now: datetime) -> None:
        """Note that it was used."""

    async def remove(self, digest: bytes) -> None:
        """End it."""

    async def remove_all(self, user: str) -> None:
        """End every session of a person."""

    async def prune(self, before: datetime) -> None:
        """Delete those last used before."""


class Failures(Protocol):
    """Failed sign-ins under names (digests), each with the number that is free, within a transaction."""

    async def count(self, names: Mapping[bytes, int], now: datetime) -> int:
        """Count one under each name and answer 0, or count none and answer the seconds to wait."""

    async def forgive(self, names: Mapping[bytes, int]) -> None:
        """It was none: forget all under the first name, the e-mail address, and the last under the others."""

    async def prune(self, before: datetime) -> None:
        """Delete what was last counted before."""


class Memberships(Protocol):
    """Memberships by account, as billing told them, within a transaction."""

    async def put(self, membership: Membership) -> bool:
        """Store it; False when something newer is known."""

    async def get(self, account: str) -> Membership | None:
        """What is known of the account."""


class IdentityTransaction(Protocol):
    """One transaction over people, keys, groups and sessions."""

    users: Users
    keys: Keys
    groups: Groups
    memberships: Memberships
    sessions: Sessions
    failures: Failures

    async def next_sequence(self, user: str) -> int:
        """The next number of the user's gap-free event sequence; holds the user's row until the end."""

    def record(self, event: IdentityEvent) -> None:
        """Publish the event exactly when the transaction commits."""


@runtime_checkable
class Identity(Protocol):
    """Who may do what, in storage."""

    def transaction(self) -> AbstractAsyncContextManager[IdentityTransaction]:
        """Commits when the block ends, rolls back when it raises; UnavailableError when storage is away."""


@runtime_checkable
class Notices(Protocol):
    """Word from one gateway replica to all, itself included."""

    async def groups_changed(self) -> None:
        """A multiplier changed; lost only when the broker is away, and then caches are dropped anyway."""


@runtime_checkable
class Passwords(Protocol):
    """Slow password hashes, run outside the event loop; UnavailableError when too many wait for theirs."""

    async def hash(self, password: str) -> str:
        """An encoded hash with its own salt."""

    async def verify(self, password: str, encoded: str) -> bool:
        """Whether it is the password of that hash."""


@runtime_checkable
class GeneratedKeys(Protocol):
    """Where a key generated by the bootstrap file is handed to the operator."""

    async def write(self, email: str, name: str, secret: str) -> None:
        """Keep the key where only the operator reads it; BootstrapError when there is no such place."""
