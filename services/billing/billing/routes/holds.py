"""GET /api/billing/holds and /api/billing/holds/{id}."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter

from billing.domain.holds import Hold, State
from billing.domain.leases import is_uuid
from billing.domain.ports import HoldReader
from billing.domain.statements import NEWEST_ID, Position, parse_cursor
from billing.routes.principals import account_of
from billing.usecases.holds import find_hold, list_holds
from common.contracts.errors import InvalidRequestError, NotFoundError
from common.contracts.principals import Principal
from common.kit.money import format_usd

_END = Position(datetime(9999, 1, 1, tzinfo=UTC), NEWEST_ID)


class HoldItem(msgspec.Struct, frozen=True):
    """One hold. amount = held + captured + released; `free` is what of `captured` a free allowance paid."""

    id: str
    account: str
    spender: str
    state: State
    amount: str
    held: str
    captured: str
    released: str
    refunded: str
    free: str
    credits: dict[str, str]
    purpose: str
    reference: str
    app: str
    paid_only: bool
    opened_at: str
    expires_at: str
    resolved_at: str | None
    currency: str = "USD"


class HoldList(msgspec.Struct, frozen=True):
    """Newest first; `next` is the `after` of the next page, null at the end."""

    data: list[HoldItem]
    next: str | None


class HoldController(Controller):
    """Holds, to look at: other services open them over RPC."""

    path = "/api/billing/holds"
    tags = ("billing",)

    @get()
    async def list_(
        self,
        principal: NamedDependency[Principal],
        holds: NamedDependency[HoldReader],
        account: FromQuery[str | None] = None,
        only: Annotated[State | None, QueryParameter(name="state")] = None,
        after: FromQuery[str | None] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=500)] = 50,
    ) -> HoldList:
        """The caller's own holds; an admin may name another account, or `all`."""
        account = account_of(principal, account)
        everybody = account == "all"
        if not (everybody or is_uuid(account)):
            return HoldList([], None)
        found = await list_holds(holds, None if everybody else account, only, _position(after), limit + 1)
        page = found[:limit]
        cursor = Position(page[-1].opened_at, page[-1].id).cursor() if len(found) > limit else None
        return HoldList([_item(hold) for hold in page], cursor)

    @get("/{hold:str}")
    async def read(
        self,
        principal: NamedDependency[Principal],
        holds: NamedDependency[HoldReader],
        hold: FromPath[str],
    ) -> HoldItem:
        """One hold; another account's is not found."""
        if not is_uuid(hold):
            raise NotFoundError("There is no such hold.")
        return _item(await find_hold(holds, hold, None if principal.is_admin else principal.account))


def _position(after: str | None) -> Position:
    if after is None:
        return _END
    try:
        position = parse_cursor(after)
    except InvalidRequestError:
        position = None
    if position is None or not is_uuid(position.id):
        raise InvalidRequestError("Not a cursor of this list.", param="after")
    return position


def _item(hold: Hold) -> HoldItem:
    return HoldItem(
        id=hold.id,
        account=hold.account,
        spender=hold.spender,
        state=hold.state,
        amount=format_usd(hold.amount_nano),
        held=format_usd(hold.remaining_nano),
        captured=format_usd(hold.captured_nano),
        released=format_usd(hold.released_nano),
        refunded=format_usd(hold.refunded_nano),
        free=format_usd(hold.free_nano),
        credits={name: format_usd(share) for name, share in hold.credits.items()},
        purpose=hold.purpose,
        reference=hold.reference,
        app=hold.app,
        paid_only=hold.paid_only,
        opened_at=_time(hold.opened_at),
        expires_at=_time(hold.expires_at),
        resolved_at=None if hold.resolved_at is None else _time(hold.resolved_at),
    )


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")
