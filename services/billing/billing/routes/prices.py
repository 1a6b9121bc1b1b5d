"""GET /api/billing/prices and PUT /api/billing/prices/{model}."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
from litestar import Controller, get, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from billing.domain.ports import PriceShelf, PriceStore
from billing.domain.prices import API_SOURCE, price_from_spec, spec_fields
from billing.routes.principals import require_admin
from billing.usecases.prices import list_prices, put_price
from common.contracts.bootstrap import PriceSpec
from common.contracts.errors import InvalidRequestError
from common.contracts.prices import Price
from common.contracts.principals import Principal


class PriceItem(msgspec.Struct, frozen=True):
    """A price in force. `prices` has the fields of the bootstrap file: USD per million tokens, or per one."""

    model: str
    version: int
    prices: dict[str, str]
    context_window: int | None
    max_output: int | None
    source: str


class PriceList(msgspec.Struct, frozen=True):
    """By model name; `next` is the `after` of the next page, null at the end. `version` is the book's."""

    data: list[PriceItem]
    next: str | None
    version: int


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
        book = await list_prices(prices)
        rest = sorted((price for price in book.prices if price.model > (after or "")), key=lambda p: p.model)
        page = rest[:limit]
        cursor = page[-1].model if len(rest) > limit else None
        return PriceList([_item(price) for price in page], cursor, book.version)

    @put("/{model:path}")
    async def put_(
        self,
        principal: NamedDependency[Principal],
        prices: NamedDependency[PriceStore],
        shelf: NamedDependency[PriceShelf],
        model: FromPath[Path],
        data: JSONBody[dict[str, Any]],
    ) -> PriceItem:
        """Put a price in force at once for new requests; the fields are those of `[[prices]]`."""
        require_admin(principal)
        name = model.as_posix().lstrip("/")
        try:
            spec = msgspec.convert({**data, "model": name}, PriceSpec)
        except msgspec.ValidationError as error:
            raise InvalidRequestError(str(error)) from None
        return _item(await put_price(prices, shelf, price_from_spec(spec, API_SOURCE)))


def _item(price: Price) -> PriceItem:
    return PriceItem(
        price.model,
        price.version,
        spec_fields(price.unit_pico),
        price.context_window,
        price.max_output,
        price.source,
    )
