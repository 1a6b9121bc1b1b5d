"""The price book: filled, changed, and laid where every service finds it."""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from billing.domain.multipliers import changed_multipliers
from billing.domain.ports import PriceShelf, PriceStore
from billing.domain.prices import Draft, changed_prices
from common.contracts.errors import InvalidRequestError, NotFoundError, UnavailableError
from common.contracts.prices import Multiplier, Price, PriceBook, resolve

_LOG = logging.getLogger(__name__)
_ATTEMPTS = 10


async def seed_prices(
    store: PriceStore, source: str, read_list: Callable[[], Awaitable[Sequence[Price]]]
) -> int:
    """Offer the packaged list prices, once per `source`; what people said stays. The number of changes."""
    if await store.has_source(source):
        return 0
    return len(await _offer(store, Draft(await read_list())))


async def apply_prices(store: PriceStore, draft: Draft) -> int:
    """Put what people wrote in force; applied twice it changes nothing. The number of changed prices."""
    return len(await _offer(store, draft))


async def put_price(store: PriceStore, shelf: PriceShelf, price: Price) -> Price:
    """Put one price in force, now or at its time, and publish the book; the price as it is kept.

    InvalidRequestError when its time has passed: what was, was.
    """
    changed = await _offer(store, Draft([price]), refuse_past=True)
    book = await publish_book(store, shelf)
    return changed[0] if changed else _price_of(book, price)


async def put_multiplier(store: PriceStore, shelf: PriceShelf, multiplier: Multiplier) -> Multiplier:
    """Put a multiplier in force for new requests and publish the book; the multiplier as it is kept."""
    await _offer(store, Draft((), [multiplier]))
    book = await publish_book(store, shelf)
    for kept in book.multipliers:
        if kept.name == multiplier.name:
            return kept
    raise NotFoundError(f"The multiplier {multiplier.name} was deleted meanwhile.")


async def delete_multiplier(store: PriceStore, shelf: PriceShelf, name: str) -> None:
    """New requests go without it; NotFoundError when there is none. What it made of old ones stays."""
    async with store.transaction() as session:
        book = await session.current()
        if name not in {multiplier.name for multiplier in book.multipliers}:
            raise NotFoundError(f"There is no multiplier {name}.")
        await session.put_multiplier(name, None, book.version + 1)
    await publish_book(store, shelf)


async def read_book(store: PriceStore) -> PriceBook:
    """What is in force and what is to come."""
    return await store.current()


async def find_price(store: PriceStore, model: str) -> Price:
    """The price that a request for `model` gets now; NotFoundError when it has none."""
    book = await store.current()
    price = resolve(model, {price.model: price for price in book.prices})
    if price is None:
        raise NotFoundError(f"There is no price of {model}.")
    return price


async def list_versions(store: PriceStore, model: str, before: int, limit: int) -> list[Price]:
    """Every price the model ever had or will have, newest version first."""
    return await store.versions(model, before, limit)


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


async def _offer(store: PriceStore, draft: Draft, *, refuse_past: bool = False) -> list[Price]:
    """Add what is new; the prices as they were added. A model's own versions differ, even from one offer."""
    async with store.transaction() as session:
        if refuse_past and any(0 < price.effective_from_ms <= session.now_ms for price in draft.prices):
            raise InvalidRequestError(
                "effective_from has passed; leave it out for now.", param="effective_from"
            )
        book = await session.current()
        version = book.version + 1
        numbered = []
        earlier: Counter[str] = Counter()
        for price in changed_prices(book, draft.prices, session.now_ms):
            numbered.append(msgspec.structs.replace(price, version=version + earlier[price.model]))
            earlier[price.model] += 1
        if numbered:
            await session.put(numbered)
        known = {multiplier.name: multiplier for multiplier in book.multipliers}
        for multiplier in changed_multipliers(known, draft.multipliers):
            await session.put_multiplier(multiplier.name, multiplier, version)
    return numbered


def _price_of(book: PriceBook, offered: Price) -> Price:
    """What already says the same as `offered`."""
    kept = book.upcoming if offered.effective_from_ms else book.prices
    for price in kept:
        if price.model == offered.model and offered.effective_from_ms in (0, price.effective_from_ms):
            return price
    raise NotFoundError(f"There is no price of {offered.model}.")
