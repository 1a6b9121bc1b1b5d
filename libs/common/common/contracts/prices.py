"""The price book: integer pico-USD per unit of each model, versioned, distributed by NATS KV."""

from typing import Literal

import msgspec

Unit = Literal[
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
    "call",
    "second",
    "image",
    "megapixel",
    "character",
]

PRICES_BUCKET = "PRICES"
PRICES_KEY = "book"


class Price(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one model costs: `unit_pico` maps a unit to pico-USD per single unit (one token, one call …).

    USD per million tokens times 1,000,000 = pico-USD per token. `context_window` and `max_output` are tokens,
    None when unknown. `source` says where the price came from (`file`, `api`, `genai-prices 2026-11-01`).
    """

    model: str
    unit_pico: dict[str, int]
    version: int = 0
    context_window: int | None = None
    max_output: int | None = None
    source: str = ""


class PriceBook(msgspec.Struct, frozen=True):
    """All prices in force; `version` grows with every change. The value under PRICES/book, msgpack."""

    version: int
    prices: tuple[Price, ...]
