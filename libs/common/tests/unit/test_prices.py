"""What of the price book every service must read alike."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.contracts.prices import Multiplier, Price, Tier, prompt_tokens, resolve, undated
from common.kit.money import MAX_RATE_MICRO, MICRO, product_micro

LONG = Price("m", {"input": 3}, tiers=(Tier(200_000, {"input": 6}), Tier(500_000, {"input": 9})))


def at(text: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


@pytest.mark.parametrize(
    ("quantities", "above"),
    [
        ({"input": 200_000}, None),
        ({"input": 200_001}, 200_000),
        ({"input": 1, "cached_input": 199_999}, None),
        ({"input": 1, "cached_input": 100_000, "cache_write": 50_000, "audio_input": 50_000}, 200_000),
        ({"input": 1, "cache_write_1h": 100_000, "image_input": 100_000, "output": 10**6}, 200_000),
        ({"input": 10, "output": 10**9, "reasoning": 10**9, "call": 10**9}, None),
        ({"input": 500_000}, 200_000),
        ({"input": 500_001}, 500_000),
        ({}, None),
    ],
)
def test_the_tier_is_the_last_one_that_the_whole_prompt_exceeds(
    quantities: dict[str, int], above: int | None
) -> None:
    tier = LONG.tier_of(quantities)
    assert (None if tier is None else tier.above) == above


def test_a_price_without_tiers_has_one_for_every_prompt() -> None:
    assert Price("m", {"input": 3}).tier_of({"input": 10**9}) is None
    assert prompt_tokens({"output": 5}) == 0


@pytest.mark.parametrize(
    ("model", "stem"),
    [
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("gpt-4o-2024-11-20", "gpt-4o"),
        ("vendor/model-20241231", "vendor/model"),
        ("claude-sonnet-4-5", None),
        ("model-20251301", None),
        ("model-20250932", None),
        ("model-2025-0929", None),
        ("model-12345678", None),
        ("model-20250929-preview", None),
        ("-20250929", None),
        ("model20250929", None),
    ],
)
def test_only_a_date_at_the_end_is_left_out_of_a_name(model: str, stem: str | None) -> None:
    assert undated(model) == stem


def test_the_exact_name_comes_before_the_one_without_date() -> None:
    priced = {"gpt-4o": "stem", "gpt-4o-2024-05-13": "exact"}
    assert resolve("gpt-4o-2024-05-13", priced) == "exact"
    assert resolve("gpt-4o-2024-11-20", priced) == "stem"
    assert resolve("gpt-5", priced) is None
    assert resolve("gpt-5-2026-01-01", priced) is None


def multiplier(**fields: Any) -> Multiplier:
    return Multiplier("m", 500_000, **fields)


@pytest.mark.parametrize(
    ("fields", "group", "model", "concerned"),
    [
        ({}, "vip", "gpt-4o", True),
        ({"group": "vip"}, "vip", "gpt-4o", True),
        ({"group": "vip"}, "default", "gpt-4o", False),
        ({"model": "gpt-*"}, "vip", "gpt-4o", True),
        ({"model": "gpt-*"}, "vip", "claude", False),
        ({"model": "gpt-4o"}, "vip", "gpt-4o-mini", False),
        ({"model": "gpt-4o"}, "vip", "gpt-4o", True),
    ],
)
def test_a_multiplier_is_for_its_group_and_its_models(
    fields: dict[str, str], group: str, model: str, *, concerned: bool
) -> None:
    assert multiplier(**fields).concerns(group, model) is concerned


def test_a_multiplier_on_a_stem_is_for_its_dated_names() -> None:
    assert multiplier(model="claude").concerns("g", "claude-20250929", "claude")


NIGHT = {"from_minute": 22 * 60, "to_minute": 6 * 60}


@pytest.mark.parametrize(
    ("fields", "time", "held"),
    [
        ({"from_minute": 480, "to_minute": 540}, "2026-01-15T07:59:59", False),
        ({"from_minute": 480, "to_minute": 540}, "2026-01-15T08:00", True),
        ({"from_minute": 480, "to_minute": 540}, "2026-01-15T08:59:59", True),
        ({"from_minute": 480, "to_minute": 540}, "2026-01-15T09:00", False),
        (NIGHT, "2026-01-15T21:59", False),
        (NIGHT, "2026-01-15T22:00", True),
        (NIGHT, "2026-01-16T00:00", True),
        (NIGHT, "2026-01-16T05:59", True),
        (NIGHT, "2026-01-16T06:00", False),
        # the night of Friday the 16th ends on Saturday
        ({**NIGHT, "weekdays": (5,)}, "2026-01-16T05:00", False),
        ({**NIGHT, "weekdays": (5,)}, "2026-01-16T23:00", True),
        ({**NIGHT, "weekdays": (5,)}, "2026-01-17T05:00", True),
        ({**NIGHT, "weekdays": (5,)}, "2026-01-17T23:00", False),
        ({"weekdays": (6, 7)}, "2026-01-16T23:59", False),
        ({"weekdays": (6, 7)}, "2026-01-17T00:00", True),
        ({"from_minute": 0, "to_minute": 0}, "2026-01-17T13:00", True),
        ({"from_minute": 600, "to_minute": 1_440}, "2026-01-17T23:59", True),
    ],
)
def test_a_window_is_on_the_clock_of_its_zone_and_belongs_to_the_day_it_began(
    fields: dict[str, Any], time: str, *, held: bool
) -> None:
    for zone in ("UTC", "Asia/Shanghai", "America/New_York"):
        assert multiplier(zone=zone, **fields).holds(at(time, zone)) is held


def test_a_window_follows_the_clock_through_summer_time() -> None:
    # Berlin, 29 March 2026: 01:59 is followed by 03:00; 25 October: 02:59 is followed by 02:00.
    window = multiplier(zone="Europe/Berlin", from_minute=120, to_minute=180)
    spring = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
    assert [window.holds(_ms(spring + timedelta(minutes=30 * step))) for step in range(4)] == [False] * 4
    autumn = datetime(2026, 10, 24, 23, 30, tzinfo=UTC)
    held = [window.holds(_ms(autumn + timedelta(minutes=30 * step))) for step in range(6)]
    assert held == [False, True, True, True, True, False]
    office = multiplier(zone="Europe/Berlin", from_minute=540, to_minute=1_020)
    assert not office.holds(_ms(datetime(2026, 3, 28, 7, 30, tzinfo=UTC)))
    assert office.holds(_ms(datetime(2026, 3, 29, 7, 30, tzinfo=UTC)))


def _ms(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000


def test_a_validity_excludes_its_end() -> None:
    span = multiplier(valid_from_ms=at("2026-12-01"), valid_to_ms=at("2027-01-01"))
    assert [span.holds(at(text)) for text in ("2026-11-30T23:59", "2026-12-01", "2026-12-31T23:59")] == [
        False,
        True,
        True,
    ]
    assert not span.holds(at("2027-01-01"))


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=8))
def test_rates_multiply_exactly_and_are_rounded_once(rates: list[int]) -> None:
    exact = 1
    for rate in rates:
        exact *= rate
    unit = MICRO ** (len(rates) - 1)
    product = product_micro(rates)
    assert product == MAX_RATE_MICRO or abs(product * unit - exact) * 2 <= unit
    assert product_micro(list(reversed(rates))) == product


def test_a_product_has_a_limit_that_is_told() -> None:
    assert product_micro([MAX_RATE_MICRO, 2 * MICRO]) == MAX_RATE_MICRO
    assert product_micro([850_000, 500_000]) == 425_000
    assert product_micro([1, 1]) == 0
