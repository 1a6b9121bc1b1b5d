"""The packaged list prices of the makers, read in a process of their own.

The data of `genai-prices` takes a second and tens of megabytes to import, which a service that needs it once
per release should not keep: `python -m billing.adapters.list_prices` prints the prices as JSON and ends.
"""

import asyncio
import importlib.metadata
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec

from billing.domain.prices import SEED_PREFIX
from common.contracts.errors import UnavailableError
from common.contracts.prices import Price, Tier

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
    """Makers first, and of several prices for one id the first: a maker's own wins over a reseller's.

    Price changes that the package announces for a day to come follow, each with its time.
    """
    from genai_prices.data import providers  # noqa: PLC0415  see the module

    now = datetime.now(UTC)
    source = list_source()
    rank = {name: place for place, name in enumerate(_MAKERS)}
    prices: dict[str, list[Price]] = {}
    for provider in sorted(providers, key=lambda provider: rank.get(provider.id, len(_MAKERS))):
        for model in provider.models:
            found = [
                Price("", units, 0, model.context_window, None, source, tiers, _milliseconds(start))
                for start, listed in _by_start(model.prices, now)
                if (units := _units(listed)) is not None and (tiers := _tiers(listed, units)) is not None
            ]
            if not found or found[0].effective_from_ms:
                continue
            names = {model.id, *(_other_names(model.match) if provider.id in rank else ())}
            for name in sorted(names):
                prices.setdefault(name, [msgspec.structs.replace(price, model=name) for price in found])
    return [price for found in prices.values() for price in found]


def _by_start(listed: Any, now: datetime) -> Iterator[tuple[datetime | None, Any]]:
    """The price of today (None), then those announced for a day to come.

    Where the price depends on the time of day, the dearest is today's: off-peak is a multiplier's business,
    and which hour it is when the book is filled must not matter.
    """
    if not isinstance(listed, list):
        yield None, listed
        return
    started = None
    by_hour = []
    later = []
    for conditional in listed:
        start = getattr(conditional.constraint, "start_date", None)
        if start is not None and start > now.date():
            later.append((datetime(start.year, start.month, start.day, tzinfo=UTC), conditional.prices))
        elif start is not None or conditional.constraint is None:
            started = conditional.prices
        else:
            by_hour.append(conditional.prices)
    if started is not None or by_hour:
        yield None, max(filter(None, (started, *by_hour)), key=_dearness)
    yield from sorted(later, key=lambda pair: pair[0])


def _dearness(prices: Any) -> Decimal:
    """What a token in and one out cost."""
    return sum((_base(getattr(prices, name) or 0) for name in ("input_mtok", "output_mtok")), Decimal(0))


def _base(price: Any) -> Decimal:
    return Decimal(getattr(price, "base", price))


def _units(prices: Any) -> dict[str, int] | None:
    """The base prices in pico; None when the model is free or a price is finer than a pico."""
    units: dict[str, int] = {}
    for name, (unit, factor) in _PICO.items():
        price = getattr(prices, name, None)
        if price is None:
            continue
        pico = Fraction(_base(price)) * factor
        if pico.denominator != 1:
            return None
        units[unit] = int(pico)
    return units if any(units.values()) else None


def _tiers(prices: Any, base: dict[str, int]) -> tuple[Tier, ...] | None:
    """The package's tiers, which are ours too: a prompt of more tokens than `start` pays the tier's price for
    the whole request. Each unit has its own list; what a list does not change at a threshold stays as it was
    at the one before. None when a price is finer than a pico.
    """
    changes: dict[int, dict[str, int]] = {}
    for name, (unit, factor) in _PICO.items():
        for tier in getattr(getattr(prices, name, None), "tiers", ()):
            pico = Fraction(tier.price) * factor
            if pico.denominator != 1:
                return None
            changes.setdefault(tier.start, {})[unit] = int(pico)
    tiers = []
    units = base
    for start in sorted(changes):
        units = {**units, **changes[start]}
        tiers.append(Tier(start, units))
    return tuple(tiers)


def _milliseconds(start: datetime | None) -> int:
    return 0 if start is None else int(start.timestamp()) * 1000


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
