"""The price book: GET /api/billing/prices, GET and PUT …/{model}, GET …/{model}/versions."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
from litestar import Controller, get, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from billing.domain.ports import PriceShelf, PriceStore
from billing.domain.prices import API_SOURCE, format_ms, price_from_spec, spec_fields
from billing.usecases.prices import find_price, list_versions, put_price, read_book
from common.contracts.bootstrap import PriceSpec
from common.contracts.errors import InvalidRequestError
from common.contracts.prices import Price
from common.contracts.principals import Principal

_VERSIONS = "/versions"
_NEWEST = 2**31 - 1


class TierItem(msgspec.Struct, frozen=True):
    """`prices` are those of the whole request when its prompt has more than `above` tokens."""

    above: int
    prices: dict[str, str]


class PriceItem(msgspec.Struct, frozen=True):
    """A price. `prices` has the fields of the bootstrap file: USD per million tokens, or per one."""

    model: str
    version: int
    prices: dict[str, str]
    context_window: int | None
    max_output: int | None
    source: str
    tiers: list[TierItem]
    effective_from: str


class PriceList(msgspec.Struct, frozen=True):
    """Prices in force by model name; `next` is the `after` of the next page, null at the end.

    `version` is the book's. `upcoming` are those that will replace the prices of this page, by their times.
    """

    data: list[PriceItem]
    next: str | None
    version: int
    upcoming: list[PriceItem]


class VersionList(msgspec.Struct, frozen=True):
    """Every price of a model, newest version first; `next` is the `before` of the next page."""

    data: list[PriceItem]
    next: str | None


class PriceController(Controller):
    """The price book."""

    path = "/api/billing/prices"
    tags = ("billing",)

    @get()
    async def list_(
        self,
        prices: NamedDependency[PriceStore],
        after: FromQuery[str | None] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=500)] = 50,
    ) -> PriceList:
        """Every model that has a price."""
        book = await read_book(prices)
        rest = sorted((price for price in book.prices if price.model > (after or "")), key=lambda p: p.model)
        page = rest[:limit]
        cursor = page[-1].model if len(rest) > limit else None
        upcoming = [price for price in book.upcoming if _on_page(price.model, after or "", cursor)]
        return PriceList(
            [_item(price) for price in page], cursor, book.version, [_item(price) for price in upcoming]
        )

    @get("/{model:path}")
    async def read(
        self,
        prices: NamedDependency[PriceStore],
        model: FromPath[Path],
        before: Annotated[int, QueryParameter(ge=1, le=_NEWEST)] = _NEWEST,
        limit: Annotated[int, QueryParameter(ge=1, le=500)] = 50,
    ) -> PriceItem | VersionList:
        """The price in force for a model by any of its names; below `/versions`, all it had and will have."""
        name = _name(model)
        if not name.endswith(_VERSIONS):
            return _item(await find_price(prices, name))
        found = await list_versions(prices, name.removesuffix(_VERSIONS), before, limit + 1)
        page = found[:limit]
        cursor = str(page[-1].version) if len(found) > limit else None
        return VersionList([_item(price) for price in page], cursor)

    @put("/{model:path}")
    async def put_(
        self,
        principal: NamedDependency[Principal],
        prices: NamedDependency[PriceStore],
        shelf: NamedDependency[PriceShelf],
        model: FromPath[Path],
        data: JSONBody[dict[str, Any]],
    ) -> PriceItem:
        """Put a price in force for new requests, at once or at its time; the fields of `[[prices]]`."""
        principal.require_admin()
        try:
            spec = msgspec.convert({**data, "model": _name(model)}, PriceSpec)
        except msgspec.ValidationError as error:
            raise InvalidRequestError(str(error)) from None
        return _item(await put_price(prices, shelf, price_from_spec(spec, API_SOURCE)))


def _name(model: Path) -> str:
    return model.as_posix().lstrip("/")


def _on_page(model: str, after: str, last: str | None) -> bool:
    return after < model and (last is None or model <= last)


def _item(price: Price) -> PriceItem:
    return PriceItem(
        price.model,
        price.version,
        spec_fields(price.unit_pico),
        price.context_window,
        price.max_output,
        price.source,
        [TierItem(tier.above, spec_fields(tier.unit_pico)) for tier in price.tiers],
        format_ms(price.effective_from_ms),
    )
