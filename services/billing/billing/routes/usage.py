"""GET /api/billing/usage and /api/billing/usage/{id}."""

from datetime import UTC, datetime
from typing import Annotated, Any, get_args

import msgspec
from litestar import Controller, get
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, FromQuery, QueryParameter

from billing.domain.explanations import explain
from billing.domain.leases import is_uuid
from billing.domain.periods import parse_period
from billing.domain.ports import UsageReader
from billing.domain.statements import (
    NEWEST_ID,
    ChargedUsage,
    Position,
    UsageFilter,
    parse_cursor,
)
from billing.domain.usage import applied_terms
from billing.routes.principals import account_of
from billing.usecases.usage import find_usage, list_usage
from common.contracts.errors import InvalidRequestError, NotFoundError
from common.contracts.principals import Principal
from common.contracts.usage import AppliedTerms, Outcome
from common.kit.money import format_decimal, format_rate, format_usd

END = Position(datetime(9999, 1, 1, tzinfo=UTC), NEWEST_ID)
"""Before it is everything."""


class UsageItem(msgspec.Struct, frozen=True):
    """One charge. cost = charged + uncollected; `overage` is the part of `charged` beyond the lease, `free`
    what of `charged` the free allowance paid, `refunded` what of `charged` was given back since.

    `upstream_cost` is for admins alone: what the channel's upstream took, null when its terms are not known.
    """

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
    app: str
    currency: str = "USD"
    upstream_cost: str | msgspec.UnsetType | None = msgspec.UNSET
    terms: AppliedTerms | None = None
    free: str = "0"
    refunded: str = "0"


class UsageDetail(UsageItem, frozen=True, kw_only=True):
    """A charge with its calculation, line by line."""

    explanation: list[str]


class UsageList(msgspec.Struct, frozen=True):
    """Newest first; `next` is the `before` of the next page, null at the end."""

    data: list[UsageItem]
    next: str | None


def provide_filter(  # noqa: PLR0913  one per parameter
    principal: NamedDependency[Principal],
    *,
    account: FromQuery[str | None] = None,
    spender: FromQuery[str | None] = None,
    model: FromQuery[str | None] = None,
    channel: FromQuery[str | None] = None,
    app: FromQuery[str | None] = None,
    operation: FromQuery[str | None] = None,
    outcome: FromQuery[str | None] = None,
    estimated: FromQuery[bool | None] = None,
    partial: FromQuery[bool | None] = None,
    request_id: FromQuery[str | None] = None,
    since: Annotated[str | None, QueryParameter(name="from")] = None,
    until: Annotated[str | None, QueryParameter(name="to")] = None,
) -> UsageFilter | None:
    """The filter that the query asks for; None when nothing can pass it.

    InvalidRequestError names the parameter; ForbiddenError for another account or a channel without admin.
    """
    account = account_of(principal, account)
    if channel is not None:
        principal.require_admin()
    if spender is not None and not is_uuid(spender):
        raise InvalidRequestError("spender is the UUID of an API key or grant.", param="spender")
    if outcome is not None and outcome not in get_args(Outcome):
        raise InvalidRequestError(f"outcome is one of {', '.join(get_args(Outcome))}.", param="outcome")
    period = parse_period(since, until)
    if account != "all" and not is_uuid(account):
        return None
    texts = {"model": model, "channel": channel, "app": app, "operation": operation, "request_id": request_id}
    for name, value in texts.items():
        if value is not None and "\0" in value:
            raise InvalidRequestError(f"{name} has no NUL.", param=name)
    return UsageFilter(
        account=None if account == "all" else account,
        spender=spender,
        outcome=outcome,
        estimated=estimated,
        partial=partial,
        since=period.since,
        until=period.until,
        **texts,
    )


class UsageController(Controller):
    """Charges."""

    path = "/api/billing/usage"
    tags = ("billing",)

    @get(dependencies={"wanted": Provide(provide_filter, sync_to_thread=False)})
    async def list_(
        self,
        principal: NamedDependency[Principal],
        usage: NamedDependency[UsageReader],
        wanted: NamedDependency[UsageFilter | None],
        before: FromQuery[str | None] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=500)] = 50,
    ) -> UsageList:
        """The caller's own charges; an admin may name another account, or `all`."""
        if wanted is None:
            return UsageList([], None)
        start = END if before is None else parse_cursor(before)
        charges = await list_usage(usage, wanted, start, limit + 1)
        page = charges[:limit]
        cursor = page[-1].position.cursor() if len(charges) > limit else None
        admin = principal.is_admin
        return UsageList([usage_item(charge, admin=admin) for charge in page], cursor)

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
        admin = principal.is_admin
        charge = await find_usage(usage, record, None if admin else principal.account)
        return usage_detail(charge, admin=admin)


def usage_item(charge: ChargedUsage, *, admin: bool) -> UsageItem:
    """The charge as it is told; only an admin is told what it cost upstream."""
    return UsageItem(**_fields(charge, admin=admin))


def usage_detail(charge: ChargedUsage, *, admin: bool) -> UsageDetail:
    """As usage_item, with the calculation."""
    return UsageDetail(
        **_fields(charge, admin=admin),
        explanation=explain(charge),
    )


def _fields(charge: ChargedUsage, *, admin: bool) -> dict[str, Any]:
    upstream = charge.upstream_cost_nano
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
        "free": format_usd(charge.free_nano),
        "refunded": format_usd(charge.refunded_nano),
        "app": charge.app,
        "terms": None if charge.terms is None else applied_terms(charge.terms),
        "upstream_cost": (None if upstream is None else format_usd(upstream)) if admin else msgspec.UNSET,
    }
