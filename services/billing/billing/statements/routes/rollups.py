"""GET /api/billing/rollups."""

from typing import Annotated

import msgspec
from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromQuery, QueryParameter, SkipValidation

from billing.domain.leases import is_uuid
from billing.domain.ports import Clock
from billing.routes.principals import account_of
from billing.statements.domain.ports import RollupStore
from billing.statements.domain.rollups import (
    Days,
    Rollup,
    RollupPeriod,
    RollupQuery,
    parse_after,
    parse_by,
    parse_days,
    parse_period_kind,
)
from billing.statements.usecases.rollups import sum_usage
from common.contracts.principals import Principal
from common.kit.money import format_usd


class RollupItem(msgspec.Struct, frozen=True):
    """One row. `charged` is what was taken of `cost`, `free` the part of it that an allowance paid.

    `refunded` is what was given back of `charged` since, `refunded_free` the part of that which came back as
    allowance, `net` what is left.
    For admins alone: `upstream_cost`, as far as known, and the number of requests of `unknown_costs`.
    """

    period: str
    name: str
    requests: int
    errors: int
    estimated: int
    quantities: dict[str, int]
    cost: str
    charged: str
    free: str
    refunded: str
    refunded_free: str
    net: str
    currency: str = "USD"
    upstream_cost: str | msgspec.UnsetType = msgspec.UNSET
    unknown_costs: int | msgspec.UnsetType = msgspec.UNSET


class RollupList(msgspec.Struct, frozen=True):
    """By period and then by name; `next` is the `after` of the next page, null at the end."""

    data: list[RollupItem]
    next: str | None


class RollupController(Controller):
    """Usage summed up."""

    path = "/api/billing/rollups"
    tags = ("billing",)

    @get()
    async def list_(  # noqa: PLR0913  one per parameter
        self,
        principal: NamedDependency[Principal],
        rollups: NamedDependency[RollupStore],
        clock: NamedDependency[SkipValidation[Clock]],
        *,
        by: FromQuery[str],
        period: FromQuery[str] = "day",
        since: Annotated[str | None, QueryParameter(name="from")] = None,
        until: Annotated[str | None, QueryParameter(name="to")] = None,
        account: FromQuery[str | None] = None,
        after: FromQuery[str | None] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=500)] = 50,
    ) -> RollupList:
        """The caller's own; an admin may name another account, or `all`, and see channels."""
        account = account_of(principal, account)
        summed_by, kind = parse_by(by), parse_period_kind(period)
        if summed_by == "channel":
            principal.require_admin()
        days = parse_days(since, until, clock().date())
        place = parse_after(after)
        if account != "all" and not is_uuid(account):
            return RollupList([], None)
        query = RollupQuery(None if account == "all" else account, summed_by, kind, days)
        rows = await sum_usage(rollups, query, place, limit + 1)
        page = rows[:limit]
        cursor = page[-1].key.cursor() if len(rows) > limit else None
        admin = principal.is_admin
        return RollupList([_item(row, kind, days, admin=admin) for row in page], cursor)


def _item(row: Rollup, kind: RollupPeriod, days: Days, *, admin: bool) -> RollupItem:
    name = {
        "day": row.first.isoformat(),
        "month": f"{row.first:%Y-%m}",
        "all": f"{days.since.isoformat()}/{days.until.isoformat()}",
    }[kind]
    return RollupItem(
        period=name,
        name=row.name,
        requests=row.requests,
        errors=row.errors,
        estimated=row.estimated,
        quantities=row.quantities,
        cost=format_usd(row.cost_nano),
        charged=format_usd(row.charged_nano),
        free=format_usd(row.free_nano),
        refunded=format_usd(row.refunded_nano),
        refunded_free=format_usd(row.refunded_free_nano),
        net=format_usd(row.net_nano),
        upstream_cost=format_usd(row.upstream_nano) if admin else msgspec.UNSET,
        unknown_costs=row.unknown_costs if admin else msgspec.UNSET,
    )
