"""/api/billing/recharge: what a USD of balance costs."""

import msgspec
from litestar import Controller, delete, get, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from billing.payments.domain.ports import RatioStore
from billing.payments.domain.recharge import API_SOURCE, Ratio, format_price, make_ratio, parse_currency
from billing.payments.usecases.recharge import list_ratios, put_ratio, remove_ratio
from common.contracts.principals import Principal


class RatioRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`price` of `currency` for one USD of balance, a decimal string."""

    currency: str
    price: str


class RatioView(msgspec.Struct, frozen=True):
    """A ratio, and whether the file, the API or the installation set it."""

    currency: str
    price: str
    source: str


class RatioList(msgspec.Struct, frozen=True):
    """All of them: there are few."""

    data: list[RatioView]
    next: None = None


class RechargeController(Controller):
    """Currencies that are accepted, and at which price."""

    path = "/api/billing/recharge"
    tags = ("billing",)

    @get()
    async def list_(
        self, principal: NamedDependency[Principal], ratios: NamedDependency[RatioStore]
    ) -> RatioList:
        """For everybody who may pay."""
        del principal
        return RatioList([_view(ratio) for ratio in await list_ratios(ratios)])

    @put()
    async def put(
        self,
        principal: NamedDependency[Principal],
        ratios: NamedDependency[RatioStore],
        data: JSONBody[RatioRequest],
    ) -> RatioView:
        """Set a currency's price for payments made from now on."""
        principal.require_admin()
        return _view(await put_ratio(ratios, make_ratio(data.currency, data.price, API_SOURCE)))

    @delete("/{currency:str}")
    async def remove(
        self,
        principal: NamedDependency[Principal],
        ratios: NamedDependency[RatioStore],
        currency: FromPath[str],
    ) -> None:
        """Accept the currency no longer."""
        principal.require_admin()
        await remove_ratio(ratios, parse_currency(currency))


def _view(ratio: Ratio) -> RatioView:
    return RatioView(ratio.currency, format_price(ratio.price_micro), ratio.source)
