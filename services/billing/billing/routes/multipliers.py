"""Multipliers: GET /api/billing/multipliers, PUT and DELETE …/{name}."""

from typing import Annotated, Any

import msgspec
from litestar import Controller, delete, get, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from billing.domain.multipliers import multiplier_fields, multiplier_from_spec
from billing.domain.ports import PriceShelf, PriceStore
from billing.domain.prices import API_SOURCE
from billing.usecases.prices import delete_multiplier, put_multiplier, read_book
from common.contracts.bootstrap import MultiplierSpec
from common.contracts.errors import InvalidRequestError
from common.contracts.prices import Multiplier
from common.contracts.principals import Principal

Item = dict[str, str | int | list[str] | None]


class MultiplierList(msgspec.Struct, frozen=True):
    """By name, the fields of the bootstrap file with `version` and `source`; `next` as in every list."""

    data: list[Item]
    next: str | None


class MultiplierController(Controller):
    """What the price of a request is multiplied by, beside its group's rate."""

    path = "/api/billing/multipliers"
    tags = ("billing",)

    @get()
    async def list_(
        self,
        principal: NamedDependency[Principal],
        prices: NamedDependency[PriceStore],
        after: FromQuery[str | None] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=500)] = 50,
    ) -> MultiplierList:
        """Every multiplier, whether it holds now or not; for admins, since groups may be customers."""
        principal.require_admin()
        book = await read_book(prices)
        rest = sorted((row for row in book.multipliers if row.name > (after or "")), key=lambda row: row.name)
        page = rest[:limit]
        return MultiplierList(
            [_item(multiplier) for multiplier in page], page[-1].name if len(rest) > limit else None
        )

    @put("/{name:str}")
    async def put_(
        self,
        principal: NamedDependency[Principal],
        prices: NamedDependency[PriceStore],
        shelf: NamedDependency[PriceShelf],
        name: FromPath[str],
        data: JSONBody[dict[str, Any]],
    ) -> Item:
        """Put a multiplier in force for new requests; the fields are those of `[[multipliers]]`."""
        principal.require_admin()
        try:
            spec = msgspec.convert({**data, "name": name}, MultiplierSpec)
        except msgspec.ValidationError as error:
            raise InvalidRequestError(str(error)) from None
        return _item(await put_multiplier(prices, shelf, multiplier_from_spec(spec, API_SOURCE)))

    @delete("/{name:str}")
    async def delete_(
        self,
        principal: NamedDependency[Principal],
        prices: NamedDependency[PriceStore],
        shelf: NamedDependency[PriceShelf],
        name: FromPath[str],
    ) -> None:
        """New requests go without it."""
        principal.require_admin()
        await delete_multiplier(prices, shelf, name)


def _item(multiplier: Multiplier) -> Item:
    return {**multiplier_fields(multiplier), "version": multiplier.version, "source": multiplier.source}
