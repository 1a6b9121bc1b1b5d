"""What the use-cases need from outside."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

import msgspec

from common.contracts.identity import SessionFound
from common.contracts.oauth import OAuthEvent
from oauth.domain.apps import App
from oauth.domain.errors import OAuthError
from oauth.domain.grants import Grant, Person, RevokedBy
from oauth.domain.tokens import AccessToken, Code, Family, LiveToken, RefreshToken, Standing, Swap

Clock = Callable[[], datetime]
Spent = Literal["codes", "refresh_tokens"]
"""What is used up for new tokens."""


class Apps(Protocol):
    """Apps, within a transaction."""

    async def add(self, app: App) -> bool:
        """Store a new one; False when the client id is taken."""

    async def get(self, app: str) -> App | None:
        """By id."""

    async def find(self, client_id: str) -> App | None:
        """By client id, whether it is disabled or not."""

    async def get_many(self, apps: Collection[str]) -> dict[str, App]:
        """By ids, in one query."""

    async def lock(self, client_id: str) -> App | None:
        """By client id, locked until the end."""

    async def count(self, owner: str) -> int:
        """How many of a person's apps are not disabled."""

    async def update(self, app: App) -> None:
        """Store everything but id, client id and when it was made."""

    async def withdraw(self, scope: str) -> int:
        """Take a scope from every app, and so from their tokens; how many had it."""

    async def list_page(self, owner: str | None, after: str | None, limit: int) -> list[App]:
        """Up to `limit` of one owner (None: of all), in the order they were made, after an id."""


class People(Protocol):
    """People, within a transaction."""

    async def put(self, person: Person) -> None:
        """Store what is known of a person; whether they are enabled only when they were unknown."""

    async def hold(self, user: str, account: str) -> None:
        """Make them known if they were not, and lock them until the end: what changes the things of one
        person comes one after the other.
        """

    async def follow(self, person: Person, sequence: int) -> None:
        """Store what the gateway says after its event `sequence`, unless something newer is known."""

    async def get(self, user: str) -> Person | None:
        """By user id."""


class Grants(Protocol):
    """Grants, within a transaction."""

    async def add(self, grant: Grant) -> None:
        """Store a new one; the caller has looked for a live one with `find_live` in this transaction."""

    async def get(self, grant: str) -> Grant | None:
        """By id, revoked or not."""

    async def find_live(self, app: str, user: str) -> Grant | None:
        """The one live grant, locked until the end; takes a lock on the person first, so that two consents
        at once come one after the other.
        """

    async def update(self, grant: Grant) -> None:
        """Store scopes, spending and when it was updated, while it is live."""

    async def revoke(self, grant: str, by: RevokedBy, now: datetime) -> bool:
        """End it; False when it had ended."""

    async def list_page(
        self, *, user: str | None, app: str | None, after: str | None, limit: int, live: bool
    ) -> list[Grant]:
        """Up to `limit` grants of a person or to an app, in the order they were made, after an id."""


class Requests(Protocol):
    """Authorization requests that wait, within a transaction; `parameters` is JSON of the use-case's own."""

    async def add(
        self,
        kind: Literal["pushed", "consent"],
        digest: bytes,
        app: str,
        parameters: str,
        expires_at: datetime,
        session: str | None = None,
    ) -> None:
        """Store one."""

    async def look(self, kind: Literal["pushed", "consent"], digest: bytes, now: datetime) -> str | None:
        """The parameters of one that has not expired; it stays."""

    async def bind(
        self, kind: Literal["pushed", "consent"], digest: bytes, now: datetime, session: str
    ) -> str | None:
        """As `look`, and from now on only `session` can take it: the last one it was shown in."""

    async def take(
        self, kind: Literal["pushed", "consent"], digest: bytes, now: datetime, session: str | None = None
    ) -> str | None:
        """The parameters, once: one statement removes and returns it. None when it is used, expired, or of
        another session.
        """


class Tokens(Protocol):
    """Families, codes and tokens, within a transaction."""

    async def add_family(self, family: Family) -> None:
        """Store a new one."""

    async def get_family(self, family: str) -> Family | None:
        """By id, revoked or not."""

    async def find_standing(self, family: str) -> Standing | None:
        """By the family's id, whether it counts or not."""

    async def bind_family(self, family: str, jkt: str) -> None:
        """Bind its refresh tokens to a DPoP key."""

    async def revoke_family(self, family: str, now: datetime) -> bool:
        """End all its tokens; False when it had ended."""

    async def last_given(self, grants: Collection[str]) -> dict[str, datetime]:
        """When tokens were last given out on each of these grants, as far as that is still known."""

    async def revoke_families(self, grant: str, now: datetime) -> None:
        """End all tokens of a grant."""

    async def add_code(self, code: Code) -> None:
        """Store a new one."""

    async def find_code(self, digest: bytes) -> Code | None:
        """Whatever its state."""

    async def add_tokens(self, access: AccessToken, refresh: RefreshToken | None) -> None:
        """Store new ones."""

    async def remove_access(self, digest: bytes) -> bool:
        """End it."""

    async def find_refresh(self, digest: bytes) -> RefreshToken | None:
        """Whatever its state."""


class OAuthTransaction(Protocol):
    """One transaction over everything of this service."""

    apps: Apps
    people: People
    grants: Grants
    requests: Requests
    tokens: Tokens

    async def use_proof(self, digest: bytes, expires_at: datetime) -> bool:
        """Remember the id of a proof; False when it was used before."""

    async def next_sequence(self, user: str) -> int:
        """The next number of the person's gap-free event sequence; holds their row until the end."""

    def record(self, event: OAuthEvent) -> None:
        """Publish the event exactly when the transaction commits."""


class Exchanging(Protocol):
    """Codes and refresh tokens, exchanged for new tokens."""

    async def find_codes(self, digests: Sequence[bytes]) -> Mapping[bytes, tuple[Code, Standing]]:
        """Those that there are, by digest, whatever their state."""

    async def find_refreshes(self, digests: Sequence[bytes]) -> Mapping[bytes, tuple[RefreshToken, Standing]]:
        """Those that there are, by digest, whatever their state."""

    async def swap(self, of: Spent, swaps: Sequence[Swap], now: datetime) -> Sequence[bool]:
        """Use up and give, by one atomic statement; False, nothing given, for what is used or expired."""


@runtime_checkable
class Store(Protocol):
    """Everything of this service, in storage."""

    def transaction(self) -> AbstractAsyncContextManager[OAuthTransaction]:
        """Commits when the block ends, rolls back when it raises; UnavailableError when storage is away."""

    async def find_apps(self, client_ids: Sequence[str]) -> Sequence[App | None]:
        """By client ids, in their order, whether they are disabled or not."""

    async def use_proof(self, digest: bytes, expires_at: datetime) -> bool:
        """Remember the id of a proof, at once; False when it was used before."""

    def exchanging(self) -> AbstractAsyncContextManager[Exchanging]:
        """Each call within commits itself; UnavailableError when storage is away."""

    async def find_token(self, digest: bytes, now: datetime) -> LiveToken | None:
        """One indexed query: the access token if it counts now, with all that it stands on."""

    async def find_tokens(self, digests: Sequence[bytes], now: datetime) -> Sequence[LiveToken | None]:
        """As one, for several, in their order."""

    async def prune(self, now: datetime) -> None:
        """Delete requests, codes, tokens, families and proofs that ended so long ago that nothing asks."""


class Seals(Protocol):
    """Makes what only this service can read and nobody can change."""

    def seal(self, of: str, plain: bytes) -> bytes:
        """`plain` for the use `of`."""

    def open(self, of: str, sealed: bytes) -> bytes:
        """What was sealed for that use; ValueError for anything else."""


@runtime_checkable
class Browsers(Protocol):
    """Who is signed in at the gateway."""

    async def find_session(self, token: str) -> SessionFound | None:
        """By the value of the session cookie; None when nobody is. UnavailableError when nobody answers."""


@runtime_checkable
class IdTokens(Protocol):
    """Says who signed in (OpenID Connect Core section 2)."""

    async def mint(self, app: App, grant: Grant, family: Family, person: Person) -> str:
        """A signed ID token for the app; its `sub` is the app's own name for the person."""

    async def read(self, app: App, id_token: str) -> str:
        """`sub` of one that was made here for the app, expired or not; InvalidRequestError for any other."""


Exchange = Callable[[OAuthTransaction, App, Mapping[str, str]], Awaitable[Family | OAuthError]]
"""A grant type: the family that the form's code stands for, taken once; its `scopes` are what the token gets.

What it has written is rolled back when it raises OAuthError. A refusal that must leave a trace (a code that
is burnt, a device that asked too soon) is returned instead, and told once the transaction is committed.
"""


class Decision(msgspec.Struct, frozen=True):
    """What a person decided about a request. `grant` and `family` None: they said no, or nobody was let
    decide, for which `refusal` is the reason.

    `state` is what the one who asked gave along with the request, to know it again.
    """

    app: App
    state: str
    grant: Grant | None = None
    family: Family | None = None
    refusal: OAuthError | None = None


Completion = Callable[[OAuthTransaction, Decision], Awaitable[str]]
"""Carries a decision out within its transaction; answers the URL to send the browser to (303)."""


Resource = Callable[[LiveToken, Mapping[str, object], str], Awaitable[Mapping[str, object]]]
"""What an app may ask with its token: the JSON asked, the Idempotency-Key ("" without one), the answer.

The scope has been checked. Raises ServiceError.
"""
