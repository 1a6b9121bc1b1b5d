"""Groups of users: their multiplier on list price."""

from gateway.domain.groups import Group
from gateway.domain.ports import Identity, Notices


async def list_groups(identity: Identity) -> list[Group]:
    """All, by name."""
    async with identity.transaction() as work:
        return await work.groups.list_all()


async def put_group(identity: Identity, notices: Notices, group: Group) -> None:
    """Store the group and, when that changed it, tell the replicas: cached keys carry the multiplier."""
    async with identity.transaction() as work:
        changed = await work.groups.put(group)
    if changed:
        await notices.groups_changed()
