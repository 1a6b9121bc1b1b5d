"""POST /api/billing/audit."""

from typing import Any

import msgspec
from litestar import Controller, Request, post
from litestar.di import NamedDependency

from billing.domain.audits import AuditReport, Served, parse_period
from billing.domain.ports import Auditor
from billing.usecases.audits import run_audit
from common.contracts.errors import InvalidRequestError
from common.contracts.principals import Principal


class AuditRequest(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"since": "from", "until": "to"}
):
    """`from` (included) and `to` (not) are days or times, UTC unless they say otherwise; without, everything.

    `served`: what an upstream says it served, to be compared with what was billed.
    """

    since: str | None = None
    until: str | None = None
    served: list[Served] | None = None


class AuditController(Controller):
    """Proof of the books."""

    path = "/api/billing/audit"
    tags = ("billing",)

    @post(status_code=200)
    async def run(
        self,
        request: Request[Any, Any, Any],
        principal: NamedDependency[Principal],
        auditor: NamedDependency[Auditor],
    ) -> AuditReport:
        """Check everything, or a period, in one snapshot; the body is optional."""
        principal.require_admin()
        body = await request.body()
        try:
            wanted = msgspec.json.decode(body, type=AuditRequest) if body else AuditRequest()
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidRequestError(str(error)) from None
        period = parse_period(wanted.since, wanted.until)
        return await run_audit(auditor, wanted.served, period)
