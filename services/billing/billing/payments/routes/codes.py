"""/api/billing/codes and /api/billing/redemptions."""

from datetime import datetime
from typing import Annotated

import msgspec
from litestar import Controller, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, HeaderParameter, JSONBody, QueryParameter

from billing.domain.ports import Clock
from billing.domain.topups import Topup
from billing.payments.domain.codes import MAX_BATCH, Batch, Code
from billing.payments.routes.payments import cursor_of, moment, payer_of
from billing.payments.usecases.codes import Codes
from billing.routes.idempotency import operation_id
from common.contracts.errors import InvalidRequestError
from common.contracts.principals import Principal
from common.kit.ids import uuid7
from common.kit.money import format_usd, parse_usd

_MAX_NAME, _MAX_CODE = 100, 100


class CodesRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`count` codes worth `amount` USD each; `expires_at` is RFC 3339 with its zone."""

    count: Annotated[int, msgspec.Meta(ge=1, le=MAX_BATCH)]
    amount: str
    name: str
    expires_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class RedemptionRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The code as people type it; `account` is the caller's own unless an admin names another."""

    code: str
    account: str | None = None


class BatchView(msgspec.Struct, frozen=True):
    """A batch; `amount` is what each of its `count` codes is worth."""

    id: str
    name: str
    amount: str
    count: int
    redeemed: int
    expires_at: str | None
    revoked_at: str | None
    created_at: str


class NewBatchView(BatchView, frozen=True, kw_only=True):
    """The only answer that ever holds the codes."""

    codes: list[str]


class CodeView(msgspec.Struct, frozen=True):
    """A code by its first characters, and who redeemed it."""

    prefix: str
    batch: str
    account: str | None
    redemption: str | None
    redeemed_at: str | None


class CodeList(msgspec.Struct, frozen=True):
    """The codes of a batch in order (`next` is the `after`), or the batches, newest first (`before`)."""

    data: list[CodeView] | list[BatchView]
    next: str | None


class CodeController(Controller):
    """Redemption codes, by admins."""

    path = "/api/billing/codes"
    tags = ("billing",)

    @post()
    async def create(
        self,
        principal: NamedDependency[Principal],
        codes: NamedDependency[Codes],
        clock: NamedDependency[Clock],
        data: JSONBody[CodesRequest],
    ) -> NewBatchView:
        """Make a batch; the codes are in this answer and nowhere else."""
        principal.require_admin()
        if not 0 < len(data.name) <= _MAX_NAME or not data.name.isprintable():
            raise InvalidRequestError(f"A name has 1 to {_MAX_NAME} characters.", param="name")
        now = clock()
        if data.expires_at is not None and data.expires_at <= now:
            raise InvalidRequestError("That is over already.", param="expires_at")
        try:
            amount_nano = parse_usd(data.amount)
        except ValueError as error:
            raise InvalidRequestError(str(error), param="amount") from None
        if amount_nano <= 0:
            raise InvalidRequestError("The amount is above zero.", param="amount")
        batch = Batch(uuid7(), data.name, amount_nano, data.count, now, data.expires_at)
        made = await codes.create(batch)
        return NewBatchView(**msgspec.structs.asdict(_batch_view(batch)), codes=made)

    @get()
    async def list_(
        self,
        principal: NamedDependency[Principal],
        codes: NamedDependency[Codes],
        batch: FromQuery[str | None] = None,
        before: FromQuery[str | None] = None,
        after: FromQuery[str | None] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=500)] = 50,
    ) -> CodeList:
        """The batches, or the codes of one."""
        principal.require_admin()
        if batch is None:
            batches = await codes.list_batches(cursor_of(before), limit + 1)
            cursor = str(batches[limit - 1].position) if len(batches) > limit else None
            return CodeList([_batch_view(each) for each in batches[:limit]], cursor)
        found = await codes.list_codes(batch, 0 if after is None else cursor_of(after), limit + 1)
        cursor = str(found[limit - 1].position) if len(found) > limit else None
        return CodeList([_code_view(each) for each in found[:limit]], cursor)

    @delete("/{batch:str}", status_code=200)
    async def revoke(
        self, principal: NamedDependency[Principal], codes: NamedDependency[Codes], batch: FromPath[str]
    ) -> BatchView:
        """No code of the batch is redeemed any more; what was redeemed stays."""
        principal.require_admin()
        return _batch_view(await codes.revoke(batch))


class RedemptionController(Controller):
    """Redemption codes, by those who have one."""

    path = "/api/billing/redemptions"
    tags = ("billing",)

    @post()
    async def redeem(
        self,
        principal: NamedDependency[Principal],
        codes: NamedDependency[Codes],
        data: JSONBody[RedemptionRequest],
        idempotency_key: Annotated[str | None, HeaderParameter(name="Idempotency-Key")] = None,
    ) -> Topup:
        """Credit a wallet. The same Idempotency-Key gets the first answer again."""
        if len(data.code) > _MAX_CODE:
            raise InvalidRequestError("No code is that long.", param="code")
        redemption = operation_id("redemption", principal, idempotency_key)
        account = payer_of(principal, data.account)
        return await codes.redeem(data.code, account, redemption)


def _batch_view(batch: Batch) -> BatchView:
    return BatchView(
        batch.id,
        batch.name,
        format_usd(batch.amount_nano),
        batch.size,
        batch.redeemed,
        None if batch.expires_at is None else moment(batch.expires_at),
        None if batch.revoked_at is None else moment(batch.revoked_at),
        moment(batch.created_at),
    )


def _code_view(code: Code) -> CodeView:
    redeemed_at = None if code.redeemed_at is None else moment(code.redeemed_at)
    return CodeView(code.prefix, code.batch, code.account, code.redemption, redeemed_at)
