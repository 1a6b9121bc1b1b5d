"""/api/users and /api/me."""

from typing import Annotated
from uuid import UUID

from litestar import Controller, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter, SkipValidation

from common.contracts.errors import NotFoundError
from gateway.domain.keys import NIL_ID, KeyFacts
from gateway.domain.plans import Plans
from gateway.domain.ports import Identity, Passwords
from gateway.routes.callers import Caller, require_admin
from gateway.routes.wire import Me, Page, UserCreate, UserPatch, UserView, page, user_view
from gateway.usecases.memberships import read_plan
from gateway.usecases.sessions import Clock
from gateway.usecases.users import create_user, get_user, list_users, search_users, update_user

PageLimit = Annotated[int, QueryParameter(ge=1, le=500)]


class UserController(Controller):
    """People: admins see and change all, everybody sees themselves."""

    path = "/api/users"

    @get()
    async def list_all(
        self,
        caller: Caller,
        identity: NamedDependency[Identity],
        email: FromQuery[str | None] = None,
        limit: PageLimit = 50,
        after: FromQuery[UUID | None] = None,
    ) -> Page[UserView]:
        """A page of all people for an admin, or the one with `email` in any case; of oneself for others."""
        if not caller.is_admin:
            return Page([user_view(await get_user(identity, caller.user))])
        if email is not None:
            return Page([user_view(user) for user in await search_users(identity, email)])
        users = await list_users(identity, None if after is None else str(after), limit + 1)
        return page([user_view(user) for user in users], limit, users[:limit][-1].id if users else None)

    @post()
    async def create(
        self,
        data: JSONBody[UserCreate],
        caller: Caller,
        identity: NamedDependency[Identity],
        passwords: NamedDependency[Passwords],
    ) -> UserView:
        """Admins only."""
        require_admin(caller)
        return user_view(await create_user(identity, passwords, data.to_domain()))

    @get("/{user_id:uuid}")
    async def get_one(
        self,
        user_id: FromPath[UUID],
        caller: Caller,
        identity: NamedDependency[Identity],
    ) -> UserView:
        """Another person is indistinguishable from none."""
        _check_visible(caller, user_id)
        return user_view(await get_user(identity, str(user_id)))

    @patch("/{user_id:uuid}")
    async def change(
        self,
        user_id: FromPath[UUID],
        data: JSONBody[UserPatch],
        caller: Caller,
        identity: NamedDependency[Identity],
        passwords: NamedDependency[Passwords],
    ) -> UserView:
        """Admins only; the keys of a disabled user are refused within a second."""
        _check_visible(caller, user_id)
        require_admin(caller)
        return user_view(await update_user(identity, passwords, str(user_id), data.to_domain()))


@get("/api/me")
async def get_me(
    caller: Caller,
    identity: NamedDependency[Identity],
    plans: NamedDependency[SkipValidation[Plans]],
    clock: NamedDependency[SkipValidation[Clock]],
) -> Me:
    """The caller's own ids, role, scopes and plan."""
    if caller.user == NIL_ID:
        return Me(NIL_ID, NIL_ID, NIL_ID, None, "admin", caller.group, caller.scopes)
    user = await get_user(identity, caller.user)
    plan, until = await read_plan(identity, plans, user.account, clock())
    return Me(
        user.id, user.account, caller.key, user.email, user.role, user.group, caller.scopes, plan, until
    )


def _check_visible(caller: KeyFacts, user_id: UUID) -> None:
    if not (caller.is_admin or caller.user == str(user_id)):
        raise NotFoundError("No such user.")
