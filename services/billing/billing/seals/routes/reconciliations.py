"""POST /api/billing/reconciliations."""

import re
from typing import Annotated, Any

from litestar import Controller, Request, post
from litestar.di import NamedDependency
from litestar.params import FromQuery, QueryParameter

from billing.domain.audits import BEGINNING, END, Period, parse_period
from billing.seals.domain.ports import BilledUsage
from billing.seals.domain.reconciliations import Tolerance
from billing.seals.usecases.reconciliations import reconcile
from common.contracts.errors import BodyTooLargeError, InvalidRequestError
from common.contracts.principals import Principal
from common.kit.money import parse_decimal

MAX_BYTES = 64 * 2**20
_PERCENT = re.compile(r"[0-9]{1,2}(\.[0-9]{1,4})?")


class ReconciliationController(Controller):
    """An upstream's own file against what was billed, for admins."""

    path = "/api/billing/reconciliations"
    tags = ("billing",)

    @post(status_code=200, request_max_body_size=MAX_BYTES)
    async def create(  # noqa: PLR0913, PLR0917  options of a query
        self,
        request: Request[Any, Any, Any],
        principal: NamedDependency[Principal],
        billed_usage: NamedDependency[BilledUsage],
        channel: FromQuery[str],
        since: Annotated[str | None, QueryParameter(name="from")] = None,
        until: Annotated[str | None, QueryParameter(name="to")] = None,
        tolerance_tokens: Annotated[int, QueryParameter(ge=0)] = 0,
        tolerance_percent: FromQuery[str] = "0",
    ) -> dict[str, Any]:
        """The body is the file. `from` and `to` bound when requests started; without, it is everything."""
        principal.require_admin()
        if not _PERCENT.fullmatch(tolerance_percent):
            raise InvalidRequestError("A percentage is a decimal below 100.", param="tolerance_percent")
        tolerance = Tolerance(tolerance_tokens, parse_decimal(tolerance_percent, 4))
        period = parse_period(since, until) or Period(BEGINNING, END)
        return await reconcile(billed_usage, await _text(request), channel, period, tolerance)


async def _text(request: Request[Any, Any, Any]) -> str:
    """The body as it arrives, refused as soon as it is too large."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            raise BodyTooLargeError(f"More than {MAX_BYTES} bytes; send the file in parts.")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidRequestError("The file is not UTF-8.") from None
