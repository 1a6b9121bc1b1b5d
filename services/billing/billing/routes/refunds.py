"""POST /api/billing/usage/{id}/refunds."""

from typing import Annotated

import msgspec
from litestar import Controller, post
from litestar.di import NamedDependency
from litestar.params import FromPath, HeaderParameter, JSONBody

from billing.domain.leases import is_uuid
from billing.domain.ports import UsageReader, Writer
from billing.domain.refunds import Refund
from billing.routes.idempotency import operation_id
from billing.usecases.refunds import refund_charge
from common.contracts.errors import InvalidRequestError, NotFoundError
from common.contracts.principals import Principal
from common.kit.money import parse_usd


class RefundRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`amount` is a decimal string of USD, absent for all that is left; `reason` is kept and told."""

    amount: str | None = None
    reason: str = ""


class RefundController(Controller):
    """Money back, by an admin."""

    path = "/api/billing/usage/{record:str}/refunds"
    tags = ("billing",)

    @post()
    async def create(
        self,
        principal: NamedDependency[Principal],
        writer: NamedDependency[Writer],
        usage: NamedDependency[UsageReader],
        record: FromPath[str],
        data: JSONBody[RefundRequest],
        idempotency_key: Annotated[str | None, HeaderParameter(name="Idempotency-Key")] = None,
    ) -> Refund:
        """Refund a charge. The same Idempotency-Key of the same caller gets the first answer again."""
        principal.require_admin()
        if not is_uuid(record):
            raise NotFoundError("There is no such usage record.")
        id_ = operation_id("charge_refund", principal, idempotency_key)
        try:
            amount_nano = None if data.amount is None else parse_usd(data.amount)
        except ValueError as error:
            raise InvalidRequestError(str(error), param="amount") from None
        return await refund_charge(writer, usage, id_, record, amount_nano, data.reason)
