"""The packaged list prices of the makers, read in a process of their own.

The data of `genai-prices` takes a second and tens of megabytes to import, which a service that needs it once
per release should not keep: `python -m billing.adapters.list_prices` prints the prices as JSON and ends.
"""

import asyncio
import importlib.metadata
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import msgspec

from billing.domain.prices import SEED_PREFIX
from common.contracts.errors import UnavailableError
from common.contracts.prices import Price

_PICO = {
    # unit of the package → (our unit, pico-USD per one of ours for one USD of theirs)
    "input_mtok": ("input", Fraction(10**6)),
    "cache_read_mtok": ("cached_input", Fraction(10**6)),
    "cache_write_mtok": ("cache_write", Fraction(10**6)),
    "cache_write_1h_mtok": ("cache_write_1h", Fraction(10**6)),
    "output_mtok": ("output", Fraction(10**6)),
    "output_reasoning_mtok": ("reasoning", Fraction(10**6)),
    "input_audio_mtok": ("audio_input", Fraction(10**6)),
    "output_audio_mtok": ("audio_output", Fraction(10**6)),
    "input_image_mtok": ("image_input", Fraction(10**6)),
    "output_image_mtok": ("image_output", Fraction(10**6)),
    "input_mchars": ("character", Fraction(10**6)),
    "requests_kcount": ("call", Fraction(10**9)),
    "audio_hours": ("second", Fraction(10**12, 3600)),
}
_MAKERS = (
    "openai",
    "anthropic",
    "google",
    "mistral",
    "deepseek",
    "x-ai",
    "cohere",
    "moonshotai",
    "minimax",
    "zai",
    "perplexity",
    "voyageai",
    "meta",
)
"""In order of precedence; the providers that host other makers' models come after them."""


def list_source() -> str:
    """What prices of the installed package are marked with."""
    return SEED_PREFIX + importlib.metadata.version("genai-prices")


async def read_list_prices() -> list[Price]:
    """All list prices, one per model id; UnavailableError when the package's data cannot be read."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, stdout=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.DEVNULL
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise UnavailableError("The packaged list prices cannot be read.")
    return msgspec.json.decode(output, type=list[Price])


def collect() -> list[Price]:
    """Makers first, and of several prices for one id the first: a maker's own wins over a reseller's."""
    from genai_prices.data import providers  # noqa: PLC0415  see the module

    now = datetime.now(UTC)
    source = list_source()
    rank = {name: place for place, name in enumerate(_MAKERS)}
    prices: dict[str, Price] = {}
    for provider in sorted(providers, key=lambda provider: rank.get(provider.id, len(_MAKERS))):
        for model in provider.models:
            units = _units(model.get_prices(now))
            if units is None:
                continue
            names = {model.id, *(_other_names(model.match) if provider.id in rank else ())}
            for name in sorted(names):
                prices.setdefault(name, Price(name, units, 0, model.context_window, None, source))
    return list(prices.values())


def _units(prices: Any) -> dict[str, int] | None:
    """The base tier in pico; None when the model is free or a price is finer than a pico."""
    units: dict[str, int] = {}
    for name, (unit, factor) in _PICO.items():
        price = getattr(prices, name, None)
        if price is None:
            continue
        pico = Fraction(getattr(price, "base", price)) * factor
        if pico.denominator != 1:
            return None
        units[unit] = int(pico)
    return units if any(units.values()) else None


def _other_names(clause: Any) -> Iterator[str]:
    """The other ids by which a maker serves the model: exact ones, and stems that a date follows."""
    for kind in ("equals", "starts_with"):
        name = getattr(clause, kind, None)
        if name is not None:
            yield name.rstrip("-@.:")
    for part in getattr(clause, "or_", None) or ():
        yield from _other_names(part)


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(collect()))
