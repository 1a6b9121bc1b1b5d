"""GET /api/billing/membership."""

import msgspec
from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromQuery

from billing.memberships.domain.memberships import time_text
from billing.memberships.domain.ports import MembershipReader
from billing.memberships.usecases.memberships import read_standing
from billing.routes.principals import account_of
from common.contracts.principals import Principal


class MembershipView(msgspec.Struct, frozen=True):
    """`plan` is null without a membership: such an account has the plan that has no rules, if there is one.

    `since` is the first payment it counts from, and at `until` it is over.
    """

    account: str
    plan: str | None
    since: str | None
    until: str | None


class MembershipController(Controller):
    """Who is a member of what."""

    path = "/api/billing/membership"
    tags = ("billing",)

    @get()
    async def read(
        self,
        principal: NamedDependency[Principal],
        memberships: NamedDependency[MembershipReader],
        account: FromQuery[str | None] = None,
    ) -> MembershipView:
        """The caller's own; an admin may name another account."""
        account = account_of(principal, account)
        now_is = (await read_standing(memberships, account)).membership
        return MembershipView(account, now_is.plan or None, time_text(now_is.since), time_text(now_is.until))
