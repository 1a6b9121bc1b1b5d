"""/api/groups."""

from litestar import Controller, get, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from gateway.domain.ports import Identity, Notices
from gateway.routes.callers import Caller, require_admin
from gateway.routes.wire import GroupPut, GroupView, Page, group_view
from gateway.usecases.groups import list_groups, put_group


class GroupController(Controller):
    """Groups and their multipliers; admins only."""

    path = "/api/groups"

    @get()
    async def list_all(self, caller: Caller, identity: NamedDependency[Identity]) -> Page[GroupView]:
        """All of them: groups are few."""
        require_admin(caller)
        return Page([group_view(group) for group in await list_groups(identity)])

    @put("/{name:str}")
    async def store(
        self,
        name: FromPath[str],
        data: JSONBody[GroupPut],
        caller: Caller,
        identity: NamedDependency[Identity],
        notices: NamedDependency[Notices],
    ) -> GroupView:
        """Make the group or change its multiplier, in force on every replica within a second."""
        require_admin(caller)
        group = data.to_domain(name)
        await put_group(identity, notices, group)
        return group_view(group)
