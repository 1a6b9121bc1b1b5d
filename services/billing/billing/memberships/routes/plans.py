"""GET and PUT /api/billing/plans."""

import msgspec
from litestar import Controller, get, put
from litestar.di import NamedDependency
from litestar.params import JSONBody

from billing.memberships.domain.plans import API_SOURCE
from billing.memberships.domain.ports import PlanStore
from billing.memberships.usecases.plans import list_plans, put_plans
from common.contracts.bootstrap import PlanSpec
from common.contracts.plans import PlanBook
from common.contracts.principals import Principal


class PlanList(msgspec.Struct, frozen=True):
    """Every plan in force, as written; they are few, so that `next` is always null."""

    data: tuple[PlanSpec, ...]
    version: int
    next: str | None = None


class PlanChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The plans that are to be in force, all of them."""

    plans: tuple[PlanSpec, ...]


class PlanController(Controller):
    """Plans."""

    path = "/api/billing/plans"
    tags = ("billing",)

    @get()
    async def list_(self, plans: NamedDependency[PlanStore]) -> PlanList:
        """What there is to be a member of."""
        return _view(await list_plans(plans))

    @put()
    async def replace(
        self,
        principal: NamedDependency[Principal],
        plans: NamedDependency[PlanStore],
        data: JSONBody[PlanChange],
    ) -> PlanList:
        """Put these plans in force in place of all others; running memberships are judged by them too."""
        principal.require_admin()
        return _view(await put_plans(plans, data.plans, API_SOURCE))


def _view(book: PlanBook) -> PlanList:
    return PlanList(book.plans, book.version)
