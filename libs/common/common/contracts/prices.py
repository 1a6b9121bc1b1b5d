"""The price book: integer pico-USD per unit of each model, versioned, distributed by NATS KV.

What a request costs is frozen when it starts: the price in force, the multipliers that match, and, once the
size of its prompt is known, the tier.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeVar
from zoneinfo import ZoneInfo

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

PROMPT_UNITS = ("input", "cached_input", "cache_write", "cache_write_1h", "audio_input", "image_input")
"""Disjoint, and together the whole prompt: what tiers are chosen by."""

PRICES_BUCKET = "PRICES"
PRICES_KEY = "book"
DAY_MINUTES = 1_440

T = TypeVar("T")
_DATED = re.compile(r"(.+)-20\d\d(-?)(?:0[1-9]|1[0-2])\2(?:0[1-9]|[12]\d|3[01])", re.DOTALL)


class Tier(msgspec.Struct, frozen=True):
    """Unit prices of a whole request whose prompt has more than `above` tokens.

    `unit_pico` is complete: what a tier does not change is in it at the base price.
    """

    above: int
    unit_pico: dict[str, int]


class Price(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one model costs: `unit_pico` maps a unit to pico-USD per single unit (one token, one call …).

    USD per million tokens times 1,000,000 = pico-USD per token. `context_window` and `max_output` are tokens,
    None when unknown. `source` says where the price came from (`file`, `api`, `genai-prices 2026-11-01`).
    `tiers` are in ascending order; the last one that the prompt exceeds holds for every unit of the request.
    `effective_from_ms` is Unix milliseconds. `(model, version)` names a price for ever.
    """

    model: str
    unit_pico: dict[str, int]
    version: int = 0
    context_window: int | None = None
    max_output: int | None = None
    source: str = ""
    tiers: tuple[Tier, ...] = ()
    effective_from_ms: int = 0

    def tier_of(self, quantities: Mapping[str, int]) -> Tier | None:
        """The tier that the prompt of these quantities falls in, None for the base prices."""
        if not self.tiers:
            return None
        size = prompt_tokens(quantities)
        return next((tier for tier in reversed(self.tiers) if size > tier.above), None)


class Multiplier(msgspec.Struct, frozen=True, omit_defaults=True):
    """A factor on the price of the requests it matches, in millionths.

    `group` is a name or `*`; `model` a name, or the beginning of one followed by `*`. `from_minute` to
    `to_minute` are minutes of the day on the clock of `zone` (IANA), the end excluded; when the end is not
    after the beginning the window crosses midnight, and belongs to the day on which it began. `weekdays` are
    ISO (Monday is 1), empty for all. `valid_from_ms` to `valid_to_ms` are Unix milliseconds, end excluded.
    """

    name: str
    rate_micro: int
    group: str = "*"
    model: str = "*"
    zone: str = "UTC"
    from_minute: int = 0
    to_minute: int = DAY_MINUTES
    weekdays: tuple[int, ...] = ()
    valid_from_ms: int | None = None
    valid_to_ms: int | None = None
    version: int = 0
    source: str = ""

    def concerns(self, group: str, *models: str) -> bool:
        """Whether it is for this group and one of these names of the model, at whatever time."""
        if self.group not in ("*", group):
            return False
        if self.model.endswith("*"):
            return any(model.startswith(self.model[:-1]) for model in models)
        return self.model in models

    def holds(self, at_ms: int) -> bool:
        """Whether it is in force at that time. Raises zoneinfo.ZoneInfoNotFoundError where there is no such
        zone.
        """
        if at_ms < (self.valid_from_ms or 0) or (self.valid_to_ms is not None and at_ms >= self.valid_to_ms):
            return False
        if not self.weekdays and (self.from_minute, self.to_minute) == (0, DAY_MINUTES):
            return True
        local = datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(ZoneInfo(self.zone))
        minute = local.hour * 60 + local.minute
        if self.from_minute < self.to_minute:
            return self.from_minute <= minute < self.to_minute and self._on(local)
        if minute >= self.from_minute:
            return self._on(local)
        return minute < self.to_minute and self._on(local - timedelta(days=1))

    def _on(self, day: datetime) -> bool:
        return not self.weekdays or day.isoweekday() in self.weekdays


class PriceBook(msgspec.Struct, frozen=True):
    """The value under PRICES/book, msgpack; `version` grows with every change.

    `prices` are in force when it was written, one per model; `upcoming`, in the order of their times, replace
    them when their time comes, on the reader's clock. `multipliers` are all that are not deleted.
    """

    version: int
    prices: tuple[Price, ...]
    upcoming: tuple[Price, ...] = ()
    multipliers: tuple[Multiplier, ...] = ()


def prompt_tokens(quantities: Mapping[str, int]) -> int:
    """The size of the prompt: everything on the input side, cached or not."""
    return sum(quantities.get(unit, 0) for unit in PROMPT_UNITS)


def undated(model: str) -> str | None:
    """The name without its trailing date (`-20250929`, `-2024-07-18`), None when it ends in none."""
    match = _DATED.fullmatch(model)
    return match.group(1) if match else None


def resolve(model: str, priced: Mapping[str, T]) -> T | None:
    """What is kept under the model's exact name, else under its name without a trailing date, else None."""
    found = priced.get(model)
    if found is None:
        stem = undated(model)
        if stem is not None:
            found = priced.get(stem)
    return found
