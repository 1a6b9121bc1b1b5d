"""GET /api/billing/usage and /api/billing/usage/{id}."""

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter

from billing.domain.leases import is_uuid
from billing.domain.ports import UsageReader
from billing.domain.statements import NEWEST_ID, ChargedUsage, Position, explain, parse_cursor
from billing.routes.principals import account_of, is_admin
from billing.usecases.usage import find_usage, list_usage
from common.contracts.errors import NotFoundError
from common.contracts.principals import Principal
from common.kit.money import format_decimal, format_rate, format_usd

_END = Position(datetime(9999, 1, 1, tzinfo=UTC), NEWEST_ID)


class UsageItem(msgspec.Struct, frozen=True):
    """One charge. cost = charged + uncollected; `overage` is the part of `charged` beyond the lease."""

    id: str
    request_id: str
    account: str
    user: str
    spender: str
    operation: str
    model: str
    upstream_model: str
    channel: str
    group: str
    started_at: str
    duration_ms: int
    first_byte_ms: int | None
    status: int
    outcome: str
    streamed: bool
    estimated: bool
    partial: bool
    quantities: dict[str, int]
    unit_prices: dict[str, str]
    price_version: int
    rate: str
    cost: str
    charged: str
    overage: str
    uncollected: str
    balance: str
    held: str
    sequence: int
    currency: str = "USD"


class UsageDetail(UsageItem, frozen=True, kw_only=True):
    """A charge with its calculation, line by line."""

    explanation: list[str]


class UsageList(msgspec.Struct, frozen=True):
    """Newest first; `next` is the `before` of the next page, null at the end."""

    data: list[UsageItem]
    next: str | None


class UsageController(Controller):
    """Charges."""

    path = "/api/billing/usage"
    tags = ("billing",)

    @get()
    async def list_(
        self,
        principal: NamedDependency[Principal],
        usage: NamedDependency[UsageReader],
        account: FromQuery[str | None] = None,
        before: FromQuery[str | None] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=500)] = 50,
    ) -> UsageList:
        """The caller's own charges; an admin may name another account, or `all`."""
        account = account_of(principal, account)
        everybody = account == "all"
        if not (everybody or is_uuid(account)):
            return UsageList([], None)
        start = _END if before is None else parse_cursor(before)
        charges = await list_usage(usage, None if everybody else account, start, limit + 1)
        page = charges[:limit]
        cursor = page[-1].position.cursor() if len(charges) > limit else None
        return UsageList([UsageItem(**_fields(charge)) for charge in page], cursor)

    @get("/{record:str}")
    async def read(
        self,
        principal: NamedDependency[Principal],
        usage: NamedDependency[UsageReader],
        record: FromPath[str],
    ) -> UsageDetail:
        """One charge and why it is what it is; another account's is not found."""
        if not is_uuid(record):
            raise NotFoundError("There is no such usage record.")
        charge = await find_usage(usage, record, None if is_admin(principal) else principal.account)
        return UsageDetail(**_fields(charge), explanation=explain(charge))


def _fields(charge: ChargedUsage) -> dict[str, Any]:
    return {
        "id": charge.id,
        "request_id": charge.request_id,
        "account": charge.account,
        "user": charge.user,
        "spender": charge.spender,
        "operation": charge.operation,
        "model": charge.model,
        "upstream_model": charge.upstream_model,
        "channel": charge.channel,
        "group": charge.group,
        "started_at": charge.started_at.astimezone(UTC).isoformat(timespec="milliseconds"),
        "duration_ms": charge.duration_ms,
        "first_byte_ms": charge.first_byte_ms,
        "status": charge.status,
        "outcome": charge.outcome,
        "streamed": charge.streamed,
        "estimated": charge.estimated,
        "partial": charge.partial,
        "quantities": charge.quantities,
        "unit_prices": {unit: format_decimal(price, 12) for unit, price in charge.unit_pico.items()},
        "price_version": charge.price_version,
        "rate": format_rate(charge.rate_micro),
        "cost": format_usd(charge.cost_nano),
        "charged": format_usd(charge.from_held_nano + charge.overage_nano),
        "overage": format_usd(charge.overage_nano),
        "uncollected": format_usd(charge.uncollected_nano),
        "balance": format_usd(charge.balance_after),
        "held": format_usd(charge.held_after),
        "sequence": charge.sequence,
    }
