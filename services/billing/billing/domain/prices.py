"""Prices: from what people write (USD per million tokens, USD per one) to pico-USD per unit, and back."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from billing.domain.periods import parse_time
from common.contracts.bootstrap import PriceSpec, TierSpec, UnitPricesSpec
from common.contracts.errors import InvalidRequestError
from common.contracts.prices import Multiplier, Price, PriceBook, Tier
from common.kit.money import format_decimal, per_million_to_pico, per_one_to_pico

FILE_SOURCE = "file"
API_SOURCE = "api"
SEED_PREFIX = "genai-prices "
MAX_TIERS = 16
MAX_NAME = 200
_PER_MILLION = (
    "input",
    "cached_input",
    "cache_write",
    "cache_write_1h",
    "output",
    "reasoning",
    "audio_input",
    "audio_output",
    "image_input",
    "image_output",
)
_PER_ONE = {
    "per_call": "call",
    "per_second": "second",
    "per_image": "image",
    "per_megapixel": "megapixel",
    "per_character": "character",
}
_MAX_TOKENS = 2**31 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_MS = 4_102_444_800_000


class Draft(NamedTuple):
    """What a bootstrap file, or somebody who only asks, puts over the book."""

    prices: Sequence[Price] = ()
    multipliers: Sequence[Multiplier] = ()


def price_from_spec(spec: PriceSpec, source: str) -> Price:
    """The price a person wrote; InvalidRequestError names the field that is not a price, or that none is."""
    if not spec.model or "\0" in spec.model or len(spec.model) > MAX_NAME:
        raise InvalidRequestError(f"A model has a name of at most {MAX_NAME} characters.", param="model")
    unit_pico = _unit_pico(spec, "")
    if not unit_pico:
        raise InvalidRequestError(f"{spec.model} has no price.", param="input")
    for field in ("context_window", "max_output"):
        tokens = getattr(spec, field)
        if tokens is not None and not 0 < tokens <= _MAX_TOKENS:
            raise InvalidRequestError(f"{field} is a number of tokens.", param=field)
    return Price(
        model=spec.model,
        unit_pico=unit_pico,
        context_window=spec.context_window,
        max_output=spec.max_output,
        source=source,
        tiers=_tiers(spec.tiers, unit_pico),
        effective_from_ms=0
        if spec.effective_from is None
        else parse_ms("effective_from", spec.effective_from),
    )


def prices_from_specs(specs: Iterable[PriceSpec], source: str) -> list[Price]:
    """As price_from_spec, for a whole list, in which a model has one price for each time."""
    prices: dict[tuple[str, int], Price] = {}
    for spec in specs:
        try:
            price = price_from_spec(spec, source)
        except InvalidRequestError as error:
            raise InvalidRequestError(f"Price of {spec.model}: {error.message}", param=error.param) from None
        key = price.model, price.effective_from_ms
        if key in prices:
            raise InvalidRequestError(f"{price.model} has two prices for one time.", param="effective_from")
        prices[key] = price
    return list(prices.values())


def parse_ms(field: str, text: str) -> int:
    """An RFC 3339 time with its zone as Unix milliseconds; InvalidRequestError names the field."""
    at = parse_time(text, field)
    ms = (at - _EPOCH) // timedelta(milliseconds=1)
    if not 0 <= ms < _MAX_MS:
        raise InvalidRequestError(f"{field} is not between 1970 and 2100.", param=field)
    return ms


def format_ms(at_ms: int) -> str:
    """Unix milliseconds as an RFC 3339 time in UTC."""
    return (_EPOCH + timedelta(milliseconds=at_ms)).isoformat(timespec="milliseconds")


def spec_fields(unit_pico: Mapping[str, int]) -> dict[str, str]:
    """The prices as people write them, in the fields of PriceSpec."""
    written = {unit: format_decimal(unit_pico[unit], 6) for unit in _PER_MILLION if unit in unit_pico}
    for field, unit in _PER_ONE.items():
        if unit in unit_pico:
            written[field] = format_decimal(unit_pico[unit], 12)
    return written


def changed_prices(book: PriceBook, offered: Iterable[Price], now_ms: int) -> list[Price]:
    """Those of `offered` that are to be added: new or different, the seed only over the seed.

    Of several that are due for a model the latest counts, and takes effect now: nothing is priced backwards.
    """
    in_force = {price.model: price for price in book.prices}
    planned = {(price.model, price.effective_from_ms): price for price in book.upcoming}
    due: dict[str, Price] = {}
    later = []
    for price in offered:
        if price.effective_from_ms > now_ms:
            later.append((price, planned.get((price.model, price.effective_from_ms))))
        elif price.model not in due or due[price.model].effective_from_ms <= price.effective_from_ms:
            due[price.model] = price
    now = [
        msgspec.structs.replace(price, effective_from_ms=now_ms)
        for price in due.values()
        if _is_news(price, in_force.get(price.model), in_force)
    ]
    return now + [price for price, old in later if _is_news(price, old, in_force)]


def prune_upcoming(in_force: Iterable[Price], upcoming: Iterable[Price]) -> tuple[Price, ...]:
    """Prices to come in the order of their times, without those of the seed that a person's price outlasts.

    What people say stays: the seed never takes a model back, whatever the day.
    """
    spoken = {price.model for price in in_force if not _is_seed(price)}
    kept = {}
    for price in sorted(upcoming, key=lambda price: (price.effective_from_ms, price.version)):
        if _is_seed(price) and price.model in spoken:
            continue
        if not _is_seed(price):
            spoken.add(price.model)
        kept[price.model, price.effective_from_ms] = price
    return tuple(kept.values())


def _is_news(price: Price, old: Price | None, in_force: Mapping[str, Price]) -> bool:
    if _is_seed(price):
        spoken = in_force.get(price.model)
        if spoken is not None and not _is_seed(spoken):
            return False
        return old is None or (_is_seed(old) and _content(old) != _content(price))
    return old is None or old.source != price.source or _content(old) != _content(price)


def _is_seed(price: Price) -> bool:
    return price.source.startswith(SEED_PREFIX)


def _content(price: Price) -> tuple[object, ...]:
    return price.unit_pico, price.context_window, price.max_output, price.tiers


def _tiers(specs: Sequence[TierSpec], base: Mapping[str, int]) -> tuple[Tier, ...]:
    if len(specs) > MAX_TIERS:
        raise InvalidRequestError(f"A price has at most {MAX_TIERS} tiers.", param="tiers")
    tiers: list[Tier] = []
    for place, spec in enumerate(specs):
        path = f"tiers[{place}]"
        if not 0 < spec.above <= _MAX_TOKENS:
            raise InvalidRequestError(f"{path}.above is a number of tokens.", param=f"{path}.above")
        if tiers and spec.above <= tiers[-1].above:
            raise InvalidRequestError(f"{path}.above is not above the tier before.", param=f"{path}.above")
        changed = _unit_pico(spec, f"{path}.")
        if not changed:
            raise InvalidRequestError(f"{path} has no price.", param=path)
        for unit in changed.keys() - base.keys():
            # What the base does not price apart is not counted apart: the tier's price would never be used.
            raise InvalidRequestError(f"{path} prices {unit}, which the base does not.", param=path)
        tiers.append(Tier(spec.above, {**base, **changed}))
    return tuple(tiers)


def _unit_pico(spec: UnitPricesSpec, path: str) -> dict[str, int]:
    unit_pico: dict[str, int] = {}
    for field in _PER_MILLION:
        text = getattr(spec, field)
        if text is not None:
            unit_pico[field] = _parsed(path + field, text, per_million=True)
    for field, unit in _PER_ONE.items():
        text = getattr(spec, field)
        if text is not None:
            unit_pico[unit] = _parsed(path + field, text, per_million=False)
    return unit_pico


def _parsed(field: str, text: str, *, per_million: bool) -> int:
    try:
        return per_million_to_pico(text) if per_million else per_one_to_pico(text)
    except ValueError as error:
        raise InvalidRequestError(f"{field}: {error}", param=field) from None
