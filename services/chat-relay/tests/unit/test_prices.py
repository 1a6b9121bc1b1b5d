"""The price book in memory."""

from typing import Any
from zoneinfo import ZoneInfoNotFoundError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_relay.domain.metering import hold_nano
from chat_relay.domain.prices import ModelPrice, Prices, Quote, final_rate
from common.contracts.errors import UnavailableError
from common.contracts.prices import Multiplier, Price, PriceBook, Tier, prompt_tokens
from common.contracts.usage import PriceTerms
from common.kit.money import cost_nano

MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS


def test_before_the_first_book_no_model_is_called_unknown() -> None:
    prices = Prices()
    with pytest.raises(UnavailableError):
        prices.of("gpt-4o-mini", 0)
    prices.load(PriceBook(1, (Price("gpt-4o-mini", {"input": 150_000}),)))
    assert prices.of("gpt-4o-mini", 0) is not None
    assert prices.of("gpt-5", 0) is None


def book(*upcoming: Price, multipliers: tuple[Multiplier, ...] = (), version: int = 1) -> PriceBook:
    return PriceBook(version, (Price("m", {"input": 1}),), upcoming, multipliers)


def input_pico(prices: Prices, model: str, now_ms: int) -> int | None:
    price = prices.of(model, now_ms)
    return None if price is None else price.unit_pico["input"]


def test_a_price_to_come_takes_effect_at_its_time_without_anybody_saying_so() -> None:
    prices = Prices()
    prices.load(
        book(
            Price("m", {"input": 3}, effective_from_ms=2_000),
            Price("m", {"input": 2}, effective_from_ms=1_000),
            Price("new", {"input": 9}, effective_from_ms=2_000),
        )
    )
    frozen = prices.of("m", 999)
    assert frozen is not None
    assert [input_pico(prices, "m", now_ms) for now_ms in (999, 1_000, 1_999)] == [1, 2, 2]
    assert prices.of("new", 1_999) is None
    assert [input_pico(prices, model, 2_000) for model in ("m", "new")] == [3, 9]
    assert frozen.unit_pico == {"input": 1}  # what a request was quoted stays


def test_a_relay_that_missed_several_times_has_the_last() -> None:
    prices = Prices()
    prices.load(
        book(
            Price("m", {"input": 2}, effective_from_ms=1_000),
            Price("m", {"input": 3}, effective_from_ms=2_000),
        )
    )
    assert input_pico(prices, "m", 5_000) == 3


def test_a_dated_name_without_a_price_has_that_of_its_stem_even_when_it_changes() -> None:
    prices = Prices()
    prices.load(book(Price("m", {"input": 2}, effective_from_ms=1_000)))
    assert [input_pico(prices, "m-20250929", now_ms) for now_ms in (0, 1_000)] == [1, 2]
    assert prices.of("m-latest", 0) is None


def test_multipliers_are_found_by_group_model_and_minute() -> None:
    rows = (
        Multiplier("vip", 800_000, group="vip"),
        Multiplier("stem", 900_000, model="m"),
        Multiplier("noon", 500_000, from_minute=720, to_minute=780),
        Multiplier("other", 1, model="x*"),
    )
    prices = Prices()
    prices.load(book(multipliers=rows))
    price = prices.of("m-20250929", 0)
    assert price is not None

    def matched(group: str, now_ms: int) -> dict[str, int]:
        return dict(prices.multipliers_of(group, "m-20250929", price, now_ms))

    assert matched("default", 0) == {"stem": 900_000}
    assert matched("vip", 0) == {"vip": 800_000, "stem": 900_000}
    noon = 720 * MINUTE_MS
    assert matched("default", noon - 1) == {"stem": 900_000}
    assert matched("default", noon) == {"stem": 900_000, "noon": 500_000}
    assert matched("default", noon + 60 * MINUTE_MS) == {"stem": 900_000}
    assert matched("default", noon) == {"stem": 900_000, "noon": 500_000}  # a clock may go backwards
    prices.load(book(version=2))
    assert matched("vip", noon) == {}


def test_a_book_with_a_zone_unknown_here_changes_nothing() -> None:
    prices = Prices()
    prices.load(book())
    unknown = Multiplier("m", 1, zone="Mars/Olympus", from_minute=1)
    with pytest.raises(ZoneInfoNotFoundError):
        prices.load(PriceBook(9, (Price("m", {"input": 7}),), (), (unknown,)))
    assert (prices.version, input_pico(prices, "m", 0)) == (1, 1)


def test_terms_are_told_only_when_there_is_something_to_tell() -> None:
    price = ModelPrice(Price("m", {"input": 1}, tiers=(Tier(10, {"input": 2}),)))
    plain = Quote(price, price.ceiling(0), 850_000, {}, 850_000, 0)
    assert plain.terms("m", None) is None
    assert plain.terms("m-20250929", None) == PriceTerms("m", 0, 850_000, {})
    assert plain.terms("m", price.tier_of({"input": 11})) == PriceTerms("m", 10, 850_000, {})
    both = Quote(price, price.ceiling(0), 850_000, {"a": 500_000}, 425_000, 0)
    assert both.terms("m", None) == PriceTerms("m", 0, 850_000, {"a": 500_000})
    assert final_rate(850_000, {"a": 500_000}) == 425_000
    assert final_rate(850_000, {}) == 850_000


def test_a_tier_above_the_window_shows_that_the_window_can_be_longer() -> None:
    tiers = (Tier(200_000, {"input": 2}),)
    assert ModelPrice(Price("m", {"input": 1}, context_window=200_000, tiers=tiers)).context_window is None
    assert ModelPrice(Price("m", {"input": 1}, context_window=10**6, tiers=tiers)).context_window == 10**6


PICO = st.integers(0, 10**7)
INPUT_UNITS = ("input", "cached_input", "cache_write", "cache_write_1h", "audio_input", "image_input")
OUTPUT_UNITS = ("output", "reasoning", "audio_output", "image_output")


@st.composite
def tiered(draw: Any) -> Price:
    """A price whose tiers may be dearer or cheaper than what is below them."""
    units = ["input", "output", *draw(st.sets(st.sampled_from(INPUT_UNITS + OUTPUT_UNITS + ("call",))))]
    prices = st.fixed_dictionaries(dict.fromkeys(units, PICO))
    thresholds = sorted(draw(st.sets(st.integers(1, 1_000), max_size=4)))
    return Price("m", draw(prices), tiers=tuple(Tier(above, draw(prices)) for above in thresholds))


@given(tiered(), st.data(), st.integers(0, 10**8))
def test_a_hold_covers_every_tier_that_the_prompt_may_turn_out_to_be_in(
    price: Price, data: Any, rate: int
) -> None:
    count = st.integers(0, 600)
    quantities = {unit: data.draw(count) for unit in price.unit_pico if unit != "call"}
    if "call" in price.unit_pico:
        quantities["call"] = 1
    tokens_in = prompt_tokens(quantities) + data.draw(st.integers(0, 500))
    tokens_out = sum(quantities.get(unit, 0) for unit in OUTPUT_UNITS)
    model = ModelPrice(price)
    tier = model.tier_of(quantities)
    settled = cost_nano(quantities, price.unit_pico if tier is None else tier.unit_pico, rate)
    assert hold_nano(model.ceiling(tokens_in), rate, tokens_in, tokens_out, any_input=True) >= settled
    text = {unit: quantity for unit, quantity in quantities.items() if unit not in INPUT_UNITS[3:]}
    tier = model.tier_of(text)
    settled = cost_nano(text, price.unit_pico if tier is None else tier.unit_pico, rate)
    assert hold_nano(model.ceiling(tokens_in), rate, tokens_in, tokens_out) >= settled


def test_a_short_prompt_is_not_held_at_the_price_of_a_long_one() -> None:
    model = ModelPrice(Price("m", {"input": 1_000}, tiers=(Tier(100, {"input": 9_000}),)))
    assert hold_nano(model.ceiling(100), 1_000_000, 100, 0) == 100
    assert hold_nano(model.ceiling(101), 1_000_000, 101, 0) == 909
