"""Prices: from what people write (USD per million tokens, USD per one) to pico-USD per unit, and back."""

from collections.abc import Iterable, Mapping

from common.contracts.bootstrap import PriceSpec
from common.contracts.errors import InvalidRequestError
from common.contracts.prices import Price
from common.kit.money import format_decimal, per_million_to_pico, per_one_to_pico

FILE_SOURCE = "file"
API_SOURCE = "api"
SEED_PREFIX = "genai-prices "
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


def price_from_spec(spec: PriceSpec, source: str) -> Price:
    """The price a person wrote; InvalidRequestError names the field that is not a price, or that none is."""
    unit_pico: dict[str, int] = {}
    for field in _PER_MILLION:
        text = getattr(spec, field)
        if text is not None:
            unit_pico[field] = _parsed(field, text, per_million=True)
    for field, unit in _PER_ONE.items():
        text = getattr(spec, field)
        if text is not None:
            unit_pico[unit] = _parsed(field, text, per_million=False)
    if not unit_pico:
        raise InvalidRequestError(f"{spec.model} has no price.", param="input")
    if not spec.model or "\0" in spec.model:
        raise InvalidRequestError("A model has a name.", param="model")
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
    )


def spec_fields(unit_pico: Mapping[str, int]) -> dict[str, str]:
    """The prices as people write them, in the fields of PriceSpec."""
    written = {unit: format_decimal(unit_pico[unit], 6) for unit in _PER_MILLION if unit in unit_pico}
    for field, unit in _PER_ONE.items():
        if unit in unit_pico:
            written[field] = format_decimal(unit_pico[unit], 12)
    return written


def changed_prices(current: Mapping[str, Price], offered: Iterable[Price]) -> list[Price]:
    """Those of `offered` that are to be put in force: new or different, the seed only over the seed."""
    changed = []
    for price in offered:
        old = current.get(price.model)
        if old is not None:
            seeding = price.source.startswith(SEED_PREFIX)
            if seeding and not old.source.startswith(SEED_PREFIX):
                continue
            if _content(old) == _content(price) and (seeding or old.source == price.source):
                continue
        changed.append(price)
    return changed


def _content(price: Price) -> tuple[dict[str, int], int | None, int | None]:
    return price.unit_pico, price.context_window, price.max_output


def _parsed(field: str, text: str, *, per_million: bool) -> int:
    try:
        pico = per_million_to_pico(text) if per_million else per_one_to_pico(text)
    except ValueError as error:
        raise InvalidRequestError(f"{field}: {error}", param=field) from None
    if pico < 0:
        raise InvalidRequestError(f"{field} is negative.", param=field)
    return pico
