"""POST /api/billing/topups."""

from typing import Annotated

import msgspec
from litestar import Controller, post
from litestar.di import NamedDependency
from litestar.params import HeaderParameter, JSONBody

from billing.domain.ports import Writer
from billing.domain.topups import PostTopup, Topup
from billing.routes.idempotency import operation_id
from billing.usecases.topups import post_topup
from common.contracts.errors import InvalidRequestError
from common.contracts.principals import Principal
from common.kit.money import parse_usd

_MAX_REASON = 500


class TopupRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`amount` is a decimal string of USD above zero; `reason` is kept and told in the event."""

    account: str
    amount: str
    reason: str = ""


class TopupController(Controller):
    """Money in, by an admin."""

    path = "/api/billing/topups"
    tags = ("billing",)

    @post()
    async def create(
        self,
        principal: NamedDependency[Principal],
        writer: NamedDependency[Writer],
        data: JSONBody[TopupRequest],
        idempotency_key: Annotated[str | None, HeaderParameter(name="Idempotency-Key")] = None,
    ) -> Topup:
        """Credit a wallet. The same Idempotency-Key of the same caller gets the first answer again."""
        principal.require_admin()
        id_ = operation_id("topup", principal, idempotency_key)
        if len(data.reason) > _MAX_REASON:
            raise InvalidRequestError(f"A reason has at most {_MAX_REASON} characters.", param="reason")
        try:
            amount_nano = parse_usd(data.amount)
        except ValueError as error:
            raise InvalidRequestError(str(error), param="amount") from None
        return await post_topup(writer, PostTopup(id_, data.account, amount_nano, "topup", data.reason))
