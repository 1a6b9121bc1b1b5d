"""The price book as requests use it: what a hold needs is worked out when a model is first asked for."""

from bisect import bisect_left
from collections.abc import Mapping
from typing import NamedTuple
from zoneinfo import ZoneInfo

from common.contracts.errors import UnavailableError
from common.contracts.prices import Multiplier, Price, PriceBook, Tier, undated
from common.contracts.usage import PriceTerms
from common.kit.money import product_micro

PICO_MICRO_PER_NANO = 1_000 * 1_000_000
NO_MULTIPLIERS: Mapping[str, int] = {}
_MINUTE_MS = 60_000


class Ceiling:
    """The dearest that tokens can be, which a hold must assume: over all tiers that a prompt may reach.

    `input_pico` is for text, written to a cache or not; `any_input_pico` for audio, images and caches kept
    for an hour beside it; `output_pico` for any kind of token.
    """

    __slots__ = ("any_input_pico", "call_pico", "input_pico", "output_pico")

    def __init__(self, unit: Mapping[str, int], below: "Ceiling | None" = None) -> None:
        self.input_pico = _dearest(unit, "input", "cached_input", "cache_write")
        self.any_input_pico = max(
            self.input_pico, _dearest(unit, "cache_write_1h", "audio_input", "image_input")
        )
        self.output_pico = _dearest(unit, "output", "reasoning", "audio_output", "image_output")
        self.call_pico = unit.get("call", 0)
        if below is not None:
            for name in self.__slots__:
                setattr(self, name, max(getattr(self, name), getattr(below, name)))


class ModelPrice:
    """One model's price, under the name `model` it is kept under. `unit_pico` are the base prices."""

    __slots__ = (
        "_ceilings",
        "_price",
        "_thresholds",
        "context_window",
        "max_output",
        "model",
        "unit_pico",
        "version",
    )

    def __init__(self, price: Price) -> None:
        self._price = price
        self.model = price.model
        self.unit_pico: Mapping[str, int] = price.unit_pico
        self.version = price.version
        self.context_window = price.context_window
        self.max_output = price.max_output
        ceilings = [Ceiling(price.unit_pico)]
        for tier in price.tiers:
            ceilings.append(Ceiling(tier.unit_pico, ceilings[-1]))
        self._ceilings = tuple(ceilings)
        self._thresholds = tuple(tier.above for tier in price.tiers)
        if self._thresholds and (price.context_window or 0) <= self._thresholds[-1]:
            self.context_window = None  # a tier above the window shows that the window can be longer

    def ceiling(self, input_tokens: int) -> Ceiling:
        """For a prompt of at most so many tokens."""
        if not self._thresholds:
            return self._ceilings[0]
        return self._ceilings[bisect_left(self._thresholds, input_tokens)]

    def tier_of(self, quantities: Mapping[str, int]) -> Tier | None:
        """The tier that the prompt falls in, None for the base prices."""
        return self._price.tier_of(quantities) if self._thresholds else None


class Prices:
    """All prices in force; `loaded` is False until the first book came. Times are Unix milliseconds."""

    def __init__(self) -> None:
        self.loaded = False
        self.version = 0
        self._prices: dict[str, Price] = {}
        self._models: dict[str, ModelPrice] = {}
        self._upcoming: list[Price] = []
        self._changes_at_ms: int | None = None
        self._multipliers: tuple[Multiplier, ...] = ()
        self._matched: dict[tuple[str, str], Mapping[str, int]] = {}
        self._matched_minute = 0

    def load(self, book: PriceBook) -> None:
        """Replace the prices; an older book than the one in force is ignored.

        zoneinfo.ZoneInfoNotFoundError, and nothing changed, when this machine does not know a zone of it.
        """
        if self.loaded and book.version < self.version:
            return
        for multiplier in book.multipliers:
            ZoneInfo(multiplier.zone)
        self._prices = {price.model: price for price in book.prices}
        self._models = {}
        self._upcoming = sorted(book.upcoming, key=lambda price: price.effective_from_ms)
        self._changes_at_ms = self._upcoming[0].effective_from_ms if self._upcoming else None
        self._multipliers = book.multipliers
        self._matched = {}
        self.version = book.version
        self.loaded = True

    def of(self, model: str, now_ms: int) -> ModelPrice | None:
        """The price in force for the model by its name or that without a date, None when it has none.

        UnavailableError while there is no book to say so.
        """
        if self._changes_at_ms is not None and now_ms >= self._changes_at_ms:
            self._advance(now_ms)
        found = self._models.get(model)
        return found if found is not None else self._find(model)

    def multipliers_of(self, group: str, model: str, price: ModelPrice, now_ms: int) -> Mapping[str, int]:
        """Millionths by name of every multiplier that matches, by the model's name or its price's."""
        if not self._multipliers:
            return NO_MULTIPLIERS
        minute = now_ms // _MINUTE_MS  # their windows begin and end with a minute
        if minute != self._matched_minute:
            self._matched = {}
            self._matched_minute = minute
        key = group, model
        matched = self._matched.get(key)
        if matched is None:
            matched = self._matched[key] = {
                row.name: row.rate_micro
                for row in self._multipliers
                if row.concerns(group, model, price.model) and row.holds(minute * _MINUTE_MS)
            }
        return matched

    def _find(self, model: str) -> ModelPrice | None:
        if not self.loaded:
            raise UnavailableError("The price book has not arrived yet.", retry_after_s=1)
        price = self._prices.get(model)
        if price is None:
            stem = undated(model)
            price = None if stem is None else self._prices.get(stem)
            if price is None:
                return None
        # Kept by the price's name: clients may invent dates without end.
        found = self._models.get(price.model)
        if found is None:
            found = self._models[price.model] = ModelPrice(price)
        return found

    def _advance(self, now_ms: int) -> None:
        while self._upcoming and self._upcoming[0].effective_from_ms <= now_ms:
            price = self._upcoming.pop(0)
            self._prices[price.model] = price
            self._models.pop(price.model, None)
        self._changes_at_ms = self._upcoming[0].effective_from_ms if self._upcoming else None


class Quote(NamedTuple):
    """What was true for a request when it started, at `at_ms`; nothing that changes later concerns it.

    `multipliers` are those that matched, `rate_micro` the group's rate times all of them.
    """

    price: ModelPrice
    ceiling: Ceiling
    group_rate_micro: int
    multipliers: Mapping[str, int]
    rate_micro: int
    at_ms: int

    def terms(self, model: str, tier: Tier | None) -> PriceTerms | None:
        """What a record must tell beside its unit prices and rate: None when there is nothing to tell."""
        if tier is None and not self.multipliers and self.price.model == model:
            return None
        above = 0 if tier is None else tier.above
        return PriceTerms(self.price.model, above, self.group_rate_micro, dict(self.multipliers))


def final_rate(group_rate_micro: int, multipliers: Mapping[str, int]) -> int:
    """The group's rate and every multiplier, multiplied and rounded once to a millionth."""
    return product_micro((group_rate_micro, *multipliers.values())) if multipliers else group_rate_micro


def _dearest(unit: Mapping[str, int], *names: str) -> int:
    return max(unit.get(name, 0) for name in names)
