"""/api/billing/closes."""

from typing import Any

import msgspec
from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from billing.seals.domain.closes import parse_month
from billing.seals.usecases.closes import Closer
from common.contracts.principals import Principal


class CloseRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`month` is `YYYY-MM`."""

    month: str


class CloseController(Controller):
    """Closed months, for admins."""

    path = "/api/billing/closes"
    tags = ("billing",)

    @get()
    async def list_(
        self, principal: NamedDependency[Principal], closer: NamedDependency[Closer]
    ) -> dict[str, Any]:
        """Oldest first; one a month, so there is never another page."""
        principal.require_admin()
        return {"data": [close.shown() for close in await closer.list_closes()], "next": None}

    @post()
    async def create(
        self,
        principal: NamedDependency[Principal],
        closer: NamedDependency[Closer],
        data: JSONBody[CloseRequest],
    ) -> dict[str, Any]:
        """Close a month; 409 when it cannot be closed now. A closed month gives its row again."""
        principal.require_admin()
        close = await closer.close_month(parse_month(data.month))
        return close.shown()
