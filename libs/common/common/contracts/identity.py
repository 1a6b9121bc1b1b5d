"""People and keys: the gateway's events and the questions others may ask it."""

from typing import Literal

import msgspec

from common.contracts.rpc import Method


class KeyCreated(msgspec.Struct, frozen=True, tag="identity.key.created.v1", tag_field="type"):
    """A new API key; never the key itself, `prefix` is what people recognise it by."""

    id: str
    sequence: int
    user: str
    account: str
    key: str
    name: str
    prefix: str


class KeyUpdated(msgspec.Struct, frozen=True, tag="identity.key.updated.v1", tag_field="type"):
    """Limits, models, addresses or expiry of the key changed; caches must drop it."""

    id: str
    sequence: int
    user: str
    account: str
    key: str


class KeyRevoked(msgspec.Struct, frozen=True, tag="identity.key.revoked.v1", tag_field="type"):
    """The key is dead; every gateway replica refuses it within a second."""

    id: str
    sequence: int
    user: str
    account: str
    key: str


class UserCreated(msgspec.Struct, frozen=True, tag="identity.user.created.v1", tag_field="type"):
    """A person and the account whose wallet is theirs."""

    id: str
    sequence: int
    user: str
    account: str
    group: str


class UserUpdated(msgspec.Struct, frozen=True, tag="identity.user.updated.v1", tag_field="type"):
    """Role, group or status changed; caches must drop every key of the user."""

    id: str
    sequence: int
    user: str
    account: str


IdentityEvent = KeyCreated | KeyUpdated | KeyRevoked | UserCreated | UserUpdated


class UserLookup(msgspec.Struct, frozen=True):
    """Find a user by `email` (any case)."""

    email: str


class UserFound(msgspec.Struct, frozen=True):
    """The user's ids; `not_found` is answered as an error instead."""

    user: str
    account: str
    email: str


USER_LOOKUP: Method[UserLookup, UserFound] = Method("rpc.gateway.user.lookup.v1", UserLookup, UserFound)


class UserGet(msgspec.Struct, frozen=True):
    """What is there to know of a user, by id?"""

    user: str


class UserState(msgspec.Struct, frozen=True):
    """A user as they are now; `not_found` is answered as an error instead."""

    user: str
    account: str
    email: str
    enabled: bool


USER_GET: Method[UserGet, UserState] = Method("rpc.gateway.user.get.v1", UserGet, UserState)


class KeyDelegate(msgspec.Struct, frozen=True):
    """A management key of `user` that the OAuth client `app` may hold, one per app and user.

    `wish` is `get` (make it when there is none), `replace` (end the one there is, make another) or `end`. It
    ends with the app's grant, too.
    """

    user: str
    app: str
    wish: Literal["get", "replace", "end"]


class KeyDelegated(msgspec.Struct, frozen=True):
    """`secret` is empty unless the key was made by this call: nobody can read it again. `not_found` is
    answered as an error for a user who is unknown or disabled.
    """

    secret: str = ""


KEY_DELEGATE: Method[KeyDelegate, KeyDelegated] = Method(
    "rpc.gateway.key.delegate.v1", KeyDelegate, KeyDelegated
)


class SessionCheck(msgspec.Struct, frozen=True):
    """Who is signed in with this session `token` (the value of the session cookie)?"""

    token: str


class SessionFound(msgspec.Struct, frozen=True):
    """The signed-in person. `csrf` must come back with every form that is sent in this session.

    `session` is the id, not the token; `expires_at_s` and `auth_time_s`, when they proved who they are, are
    Unix seconds. A token that is unknown, expired, signed out, or of a disabled user is the error
    `not_signed_in` (401) instead.
    """

    session: str
    user: str
    account: str
    email: str
    role: str
    csrf: str
    expires_at_s: int
    auth_time_s: int = 0


SESSION_CHECK: Method[SessionCheck, SessionFound] = Method(
    "rpc.gateway.session.check.v1", SessionCheck, SessionFound
)
