"""GET /api/billing/explain/{request_id}."""

from typing import Annotated

import msgspec
from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter

from billing.domain.leases import is_uuid
from billing.domain.ports import UsageReader
from billing.domain.statements import UsageFilter, parse_cursor
from billing.routes.usage import UsageDetail, usage_detail
from billing.usecases.explanations import find_charges
from common.contracts.errors import NotFoundError
from common.contracts.principals import Principal


class ExplanationList(msgspec.Struct, frozen=True):
    """The charges of one request, newest first; `next` is the `before` of the next page."""

    data: list[UsageDetail]
    next: str | None


class ExplanationController(Controller):
    """Charges by the id that clients see, `x-request-id`; a client that chooses it may use it again."""

    path = "/api/billing/explain"
    tags = ("billing",)

    @get("/{request_id:str}")
    async def read(
        self,
        principal: NamedDependency[Principal],
        usage: NamedDependency[UsageReader],
        request_id: FromPath[str],
        before: FromQuery[str | None] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=500)] = 50,
    ) -> ExplanationList:
        """Every charge of the request, or the record of this id, if the caller's own; an admin sees any."""
        admin = principal.is_admin
        if "\0" in request_id or not (admin or is_uuid(principal.account)):
            raise NotFoundError("There is no charge of this request.")
        wanted = UsageFilter(account=None if admin else principal.account, request_id=request_id)
        charges = await find_charges(
            usage, wanted, None if before is None else parse_cursor(before), limit + 1
        )
        page = charges[:limit]
        cursor = page[-1].position.cursor() if len(charges) > limit else None
        return ExplanationList([usage_detail(charge, admin=admin) for charge in page], cursor)
