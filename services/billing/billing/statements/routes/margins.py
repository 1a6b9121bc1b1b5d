"""GET /api/billing/margins."""

from typing import Annotated

import msgspec
from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromQuery, QueryParameter, SkipValidation

from billing.domain.ports import Clock
from billing.statements.domain.margins import Margin
from billing.statements.domain.ports import RollupStore
from billing.statements.domain.rollups import parse_by, parse_days
from billing.statements.usecases.margins import read_margins
from common.contracts.principals import Principal
from common.kit.money import format_decimal, format_usd


class MarginItem(msgspec.Struct, frozen=True):
    """`gross` is what was charged less what an allowance paid, `revenue` what is left of it after `refunded`.

    `margin` and `percent` are of the requests whose upstream cost is known, of which `known_revenue` is left;
    `percent` is null when that is zero.
    """

    name: str
    requests: int
    unknown_costs: int
    gross: str
    refunded: str
    revenue: str
    known_revenue: str
    upstream_cost: str
    margin: str
    percent: str | None
    currency: str = "USD"


class MarginList(msgspec.Struct, frozen=True):
    """Dearest loss first; the total is of all rows."""

    data: list[MarginItem]
    total: MarginItem


class MarginController(Controller):
    """What is earned."""

    path = "/api/billing/margins"
    tags = ("billing",)

    @get()
    async def list_(
        self,
        principal: NamedDependency[Principal],
        rollups: NamedDependency[RollupStore],
        clock: NamedDependency[SkipValidation[Clock]],
        *,
        by: FromQuery[str] = "channel",
        since: Annotated[str | None, QueryParameter(name="from")] = None,
        until: Annotated[str | None, QueryParameter(name="to")] = None,
    ) -> MarginList:
        """Of every account; for admins."""
        principal.require_admin()
        kind = parse_by(by, ("channel", "model"))
        margins, total = await read_margins(rollups, kind, parse_days(since, until, clock().date()))
        return MarginList([_item(margin) for margin in margins], _item(total))


def _item(margin: Margin) -> MarginItem:
    centi = margin.percent_centi
    return MarginItem(
        name=margin.name,
        requests=margin.requests,
        unknown_costs=margin.unknown_costs,
        gross=format_usd(margin.gross_nano),
        refunded=format_usd(margin.refunded_nano),
        revenue=format_usd(margin.revenue_nano),
        known_revenue=format_usd(margin.known_paid_nano),
        upstream_cost=format_usd(margin.upstream_nano),
        margin=format_usd(margin.margin_nano),
        percent=None if centi is None else format_decimal(centi, 2),
    )
