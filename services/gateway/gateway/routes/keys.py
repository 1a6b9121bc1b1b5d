"""/api/keys."""

from typing import Annotated
from uuid import UUID

from litestar import Controller, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from common.contracts.errors import InvalidRequestError, NotFoundError
from gateway.domain.keys import NIL_ID, KeyFacts, KeyHasher
from gateway.domain.ports import Identity
from gateway.routes.callers import Caller
from gateway.routes.wire import KeyCreate, KeyPatch, KeyView, NewKeyView, Page, key_view, new_key_view, page
from gateway.usecases.keys import create_key, list_keys, revoke_key, update_key
from gateway.usecases.users import find_user

PageLimit = Annotated[int, QueryParameter(ge=1, le=500)]


class KeyController(Controller):
    """Keys: everybody has their own, admins reach all; another's key is indistinguishable from none."""

    path = "/api/keys"

    @get()
    async def list_some(
        self,
        caller: Caller,
        identity: NamedDependency[Identity],
        email: FromQuery[str | None] = None,
        user: FromQuery[UUID | None] = None,
        limit: PageLimit = 50,
        after: FromQuery[UUID | None] = None,
    ) -> Page[KeyView]:
        """A page of one user's keys; an admin who names none sees all."""
        owner = await _owner(identity, caller, email, user)
        if owner is None and not caller.is_admin:
            owner = caller.user
        keys = await list_keys(identity, owner, None if after is None else str(after), limit + 1)
        return page([key_view(key) for key in keys], limit, keys[:limit][-1].id if keys else None)

    @post()
    async def create(
        self,
        data: JSONBody[KeyCreate],
        caller: Caller,
        identity: NamedDependency[Identity],
        hasher: NamedDependency[KeyHasher],
    ) -> NewKeyView:
        """The only answer that holds the secret."""
        owner = await _owner(identity, caller, data.email, data.user) or caller.user
        if owner == NIL_ID:
            raise InvalidRequestError("Say whose key it is: `email` or `user`.", param="email")
        key, secret = await create_key(identity, hasher, caller, owner, data.to_domain())
        return new_key_view(key, secret)

    @patch("/{key_id:uuid}")
    async def change(
        self,
        key_id: FromPath[UUID],
        data: JSONBody[KeyPatch],
        caller: Caller,
        identity: NamedDependency[Identity],
    ) -> KeyView:
        """In force on every replica within a second."""
        return key_view(await update_key(identity, caller, str(key_id), data.to_changes()))

    @delete("/{key_id:uuid}")
    async def revoke(
        self,
        key_id: FromPath[UUID],
        caller: Caller,
        identity: NamedDependency[Identity],
    ) -> None:
        """For ever, on every replica within a second."""
        await revoke_key(identity, caller, str(key_id))


async def _owner(identity: Identity, caller: KeyFacts, email: str | None, user: UUID | None) -> str | None:
    """The id of the person named, None when none is; NotFoundError for others, except to an admin."""
    owner = str(user) if user is not None else None
    if email is not None:
        found = await find_user(identity, email)
        if owner not in (None, found.user):
            raise NotFoundError("No such user.")
        owner = found.user
    if owner is not None and not caller.is_admin and owner != caller.user:
        raise NotFoundError("No user has this e-mail address." if email else "No such user.")
    return owner
