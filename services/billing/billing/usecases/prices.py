"""The price book: filled, changed, and laid where every service finds it."""

import logging
from collections.abc import Awaitable, Callable, Sequence

from billing.domain.ports import PriceShelf, PriceStore
from billing.domain.prices import changed_prices
from common.contracts.errors import NotFoundError, UnavailableError
from common.contracts.prices import Price, PriceBook

_LOG = logging.getLogger(__name__)
_ATTEMPTS = 10


async def seed_prices(
    store: PriceStore, source: str, read_list: Callable[[], Awaitable[Sequence[Price]]]
) -> int:
    """Offer the packaged list prices, once per `source`; what people said stays. The number of changes."""
    if await store.has_source(source):
        return 0
    return await _offer(store, await read_list())


async def apply_prices(store: PriceStore, prices: Sequence[Price]) -> int:
    """Put prices people wrote in force; applied twice they change nothing. The number of changes."""
    return await _offer(store, prices)


async def put_price(store: PriceStore, shelf: PriceShelf, price: Price) -> Price:
    """Put one price in force and publish the book; the price as it is in force now."""
    await _offer(store, [price])
    book = await publish_book(store, shelf)
    return _price_of(book, price.model)


async def list_prices(store: PriceStore) -> PriceBook:
    """The prices in force, by model name."""
    return await store.current()


async def publish_book(store: PriceStore, shelf: PriceShelf) -> PriceBook:
    """Make the shelf's book the store's; UnavailableError when it cannot be reached.

    The store is read after the shelf: if they differ then, the shelf is behind (or of another life).
    """
    for _ in range(_ATTEMPTS):
        lying, revision = await shelf.read()
        book = await store.current()
        if lying is not None and lying == book:
            return book
        if await shelf.replace(book, revision):
            _LOG.info("prices: book %d with %d models published", book.version, len(book.prices))
            return book
    raise UnavailableError("The price bucket changes faster than it can be written.")


async def _offer(store: PriceStore, prices: Sequence[Price]) -> int:
    async with store.transaction() as session:
        book = await session.current()
        changed = changed_prices({price.model: price for price in book.prices}, prices)
        if changed:
            await session.put(changed, book.version + 1)
    return len(changed)


def _price_of(book: PriceBook, model: str) -> Price:
    for price in book.prices:
        if price.model == model:
            return price
    raise NotFoundError(f"There is no price of {model}.")
