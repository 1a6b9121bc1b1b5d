"""Simulations: what past usage would have cost under a draft of the price book.

Quantities are taken as they were counted: a unit that the draft does not price apart is priced as what it is
a part of (cached input as input, reasoning as output …); one that was never counted apart cannot be.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from billing.domain.prices import Draft
from common.contracts.errors import InvalidRequestError
from common.contracts.prices import Multiplier, Price, PriceBook, resolve
from common.kit.money import cost_nano, format_decimal, format_usd, product_micro, round_half_even

MAX_DAYS = 366
_PART_OF = {
    "cached_input": "input",
    "cache_write": "input",
    "cache_write_1h": "cache_write",
    "audio_input": "input",
    "image_input": "input",
    "reasoning": "output",
    "audio_output": "output",
    "image_output": "output",
}
_MINUTE_MS = 60_000
_CACHED = 10_000


class PastUse(NamedTuple):
    """What a usage record says that a price needs; `group_rate_micro` is without multipliers."""

    account: str
    model: str
    group: str
    started_at_ms: int
    quantities: dict[str, int]
    group_rate_micro: int
    cost_nano: int


class UseFilter(msgspec.Struct, frozen=True):
    """Usage that started from `since` up to and without `until`; None is anything."""

    since: datetime
    until: datetime
    account: str | None = None
    model: str | None = None
    group: str | None = None


class Sums:
    """Costs in nano-USD, then and under the draft."""

    __slots__ = ("new_nano", "old_nano", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self.old_nano = 0
        self.new_nano = 0

    def add(self, old_nano: int, new_nano: int) -> None:
        """One more request."""
        self.requests += 1
        self.old_nano += old_nano
        self.new_nano += new_nano

    @property
    def difference_nano(self) -> int:
        """Above zero when the draft is dearer."""
        return self.new_nano - self.old_nano

    def told(self) -> dict[str, str | int | None]:
        """Decimal strings; `percent` to two places, half to even, None of nothing."""
        percent = None
        if self.old_nano:
            percent = format_decimal(round_half_even(self.difference_nano * 10_000, self.old_nano), 2)
        return {
            "requests": self.requests,
            "old": format_usd(self.old_nano),
            "new": format_usd(self.new_nano),
            "difference": format_usd(self.difference_nano),
            "percent": percent,
        }


class Simulation:
    """Takes past usage, piece by piece; memory grows with accounts and models, not with records."""

    def __init__(self, book: PriceBook, draft: Draft) -> None:
        self._prices: dict[str, Price] = {price.model: price for price in book.prices}
        # Of several prices of a model the latest: what is to be in force in the end.
        for price in sorted(draft.prices, key=lambda price: price.effective_from_ms):
            self._prices[price.model] = price
        named = {row.name: row for row in (*book.multipliers, *draft.multipliers)}
        self._multipliers: Sequence[Multiplier] = tuple(named.values())
        self._rates: dict[tuple[str, str, int], tuple[int, ...]] = {}
        self.unpriced = 0
        self.total = Sums()
        self.accounts: dict[str, Sums] = {}
        self.models: dict[str, Sums] = {}

    def add(self, uses: Sequence[PastUse]) -> None:
        """Price these again. What has no price under the draft keeps its cost, and is counted."""
        for use in uses:
            new_nano = self._cost_nano(use)
            if new_nano is None:
                self.unpriced += 1
                new_nano = use.cost_nano
            self.total.add(use.cost_nano, new_nano)
            self.accounts.setdefault(use.account, Sums()).add(use.cost_nano, new_nano)
            self.models.setdefault(use.model, Sums()).add(use.cost_nano, new_nano)

    def _cost_nano(self, use: PastUse) -> int | None:
        if not use.quantities:
            return 0  # an answer that failed; no price makes it cost anything
        price = resolve(use.model, self._prices)
        if price is None:
            return None
        quantities = recounted(use.quantities, price.unit_pico)
        tier = price.tier_of(quantities)
        rates = self._rates_of(use, price.model) if self._multipliers else ()
        rate = product_micro((use.group_rate_micro, *rates)) if rates else use.group_rate_micro
        return cost_nano(quantities, price.unit_pico if tier is None else tier.unit_pico, rate)

    def _rates_of(self, use: PastUse, priced_as: str) -> tuple[int, ...]:
        minute = use.started_at_ms // _MINUTE_MS
        key = use.group, use.model, minute
        rates = self._rates.get(key)
        if rates is None:
            if len(self._rates) >= _CACHED:
                self._rates.clear()
            rates = self._rates[key] = tuple(
                row.rate_micro
                for row in self._multipliers
                if row.concerns(use.group, use.model, priced_as) and row.holds(minute * _MINUTE_MS)
            )
        return rates


def recounted(quantities: Mapping[str, int], unit_pico: Mapping[str, int]) -> dict[str, int]:
    """The same usage in the units of another price; none is lost, and an answer is one call."""
    counted: dict[str, int] = {}
    for unit, quantity in quantities.items():
        place = unit
        while place not in unit_pico and place in _PART_OF:
            place = _PART_OF[place]
        counted[place] = counted.get(place, 0) + quantity
    if "call" in unit_pico:
        counted.setdefault("call", 1)
    return counted


def largest(groups: Mapping[str, Sums], limit: int) -> list[tuple[str, Sums]]:
    """The `limit` with the largest differences either way, from the most dearer to the most cheaper."""
    found = sorted(groups.items(), key=lambda item: (-abs(item[1].difference_nano), item[0]))[:limit]
    return sorted(found, key=lambda item: (-item[1].difference_nano, item[0]))


def check_period(since: datetime | None, until: datetime | None) -> tuple[datetime, datetime]:
    """Both ends; InvalidRequestError when one is missing or they are more than `MAX_DAYS` apart."""
    if since is None or until is None:
        missing = "from" if since is None else "to"
        raise InvalidRequestError(f"{missing} is missing.", param=missing)
    if (until - since).days > MAX_DAYS:
        raise InvalidRequestError(f"A simulation is of at most {MAX_DAYS} days.", param="to")
    return since, until
