"""Take over what billing says of memberships."""

from collections.abc import Sequence
from datetime import datetime

from common.contracts.billing import MembershipChanged
from gateway.domain.plans import Membership, Plans
from gateway.domain.ports import Identity
from gateway.usecases.users import record_updated


async def apply_memberships(identity: Identity, events: Sequence[MembershipChanged]) -> None:
    """Store what is newer than what is known, and tell every replica to forget the users' keys."""
    async with identity.transaction() as work:
        for event in sorted(events, key=lambda event: (event.account, event.sequence)):
            until = None if event.until is None else datetime.fromisoformat(event.until)
            told = Membership(event.account, event.plan, until, event.sequence)
            if await work.memberships.put(told):
                user = await work.users.find_account(event.account)
                if user is not None:
                    await record_updated(work, user)


async def read_plan(
    identity: Identity, plans: Plans, account: str, now: datetime
) -> tuple[str | None, datetime | None]:
    """The account's plan and when it ends: that of everybody, which never does, without a membership."""
    async with identity.transaction() as work:
        member = await work.memberships.get(account)
    if member is not None and member.until is not None and now < member.until and plans.named(member.plan):
        return member.plan, member.until
    return None if plans.base is None else plans.base.name, None
