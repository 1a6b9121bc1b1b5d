"""POST /api/billing/audit."""

from typing import Any

import msgspec
from litestar import Controller, Request, post
from litestar.di import NamedDependency

from billing.domain.audits import AuditReport, Served
from billing.domain.ports import Auditor
from billing.routes.principals import require_admin
from billing.usecases.audits import run_audit
from common.contracts.errors import InvalidRequestError
from common.contracts.principals import Principal


class AuditRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`served`: what an upstream says it served, to be compared with what was billed."""

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
        """Check everything in one snapshot; the body is optional."""
        require_admin(principal)
        body = await request.body()
        try:
            wanted = msgspec.json.decode(body, type=AuditRequest) if body else AuditRequest()
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidRequestError(str(error)) from None
        return await run_audit(auditor, wanted.served)
