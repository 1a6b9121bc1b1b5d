"""Past usage under a draft: exact, and nothing of it is lost."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.domain.prices import Draft
from billing.domain.simulations import PastUse, Simulation, Sums, check_period, largest, recounted
from common.contracts.errors import InvalidRequestError
from common.contracts.prices import Multiplier, Price, PriceBook, Tier
from common.kit.money import cost_nano

BOOK = PriceBook(1, (Price("m", {"input": 1_000_000, "output": 2_000_000}),))
NOON_MS = 12 * 3_600_000


def use(**fields: Any) -> PastUse:
    values: dict[str, Any] = {
        "account": "a",
        "model": "m",
        "group": "vip",
        "started_at_ms": NOON_MS,
        "quantities": {"input": 1_000, "output": 100},
        "group_rate_micro": 1_000_000,
        "cost_nano": 1_200_000,
    }
    return PastUse(**(values | fields))


def new_nano(draft: Draft, past: PastUse, book: PriceBook = BOOK) -> int:
    simulation = Simulation(book, draft)
    simulation.add([past])
    return simulation.total.new_nano


def test_under_the_same_book_nothing_changes() -> None:
    assert new_nano(Draft(), use()) == 1_200_000
    assert new_nano(Draft(), use(quantities={}, cost_nano=0)) == 0


def test_the_draft_lies_over_the_book() -> None:
    dearer = Draft([Price("m", {"input": 2_000_000, "output": 4_000_000})])
    assert new_nano(dearer, use()) == 2_400_000
    assert new_nano(dearer, use(group_rate_micro=500_000)) == 1_200_000
    assert new_nano(dearer, use(model="m-20250929")) == 2_400_000
    tiered = Draft([Price("m", {"input": 1_000_000}, tiers=(Tier(999, {"input": 5_000_000}),))])
    assert new_nano(tiered, use()) == 5_000_000
    assert new_nano(tiered, use(quantities={"input": 999})) == 999_000


def test_multipliers_hold_by_the_time_of_the_request() -> None:
    draft = Draft((), [Multiplier("noon", 500_000, from_minute=720, to_minute=780)])
    assert new_nano(draft, use()) == 600_000
    assert new_nano(draft, use(started_at_ms=NOON_MS - 1)) == 1_200_000
    book = PriceBook(1, BOOK.prices, (), (Multiplier("noon", 100_000), Multiplier("all", 2_000_000)))
    assert new_nano(draft, use(), book) == 1_200_000


def test_what_has_no_price_keeps_its_cost_and_is_counted() -> None:
    simulation = Simulation(BOOK, Draft())
    simulation.add([use(model="gone", cost_nano=77), use()])
    assert (simulation.unpriced, simulation.models["gone"].new_nano) == (1, 77)
    assert simulation.total.told() == {
        "requests": 2,
        "old": "0.001200077",
        "new": "0.001200077",
        "difference": "0",
        "percent": "0",
    }


PART_UNITS = ("input", "cached_input", "cache_write", "cache_write_1h", "audio_input", "reasoning", "output")


@given(
    st.dictionaries(st.sampled_from((*PART_UNITS, "call")), st.integers(0, 10**6), min_size=1),
    st.sets(st.sampled_from((*PART_UNITS, "call"))),
)
def test_usage_in_other_units_is_the_same_usage(quantities: dict[str, int], priced: set[str]) -> None:
    unit_pico = dict.fromkeys({*priced, "input", "output"}, 3)
    counted = recounted(quantities, unit_pico)
    tokens = sum(quantities.values()) - quantities.get("call", 0)
    assert sum(counted.values()) - counted.get("call", 0) == tokens
    per_token = {unit: pico for unit, pico in unit_pico.items() if unit != "call"}
    assert cost_nano(counted, per_token, 10**9) == cost_nano({"input": tokens}, {"input": 3}, 10**9)


def test_a_unit_without_a_price_of_its_own_is_part_of_another() -> None:
    past = {"input": 1, "cached_input": 2, "cache_write_1h": 4, "output": 8, "reasoning": 16}
    assert recounted(past, {"input": 1, "output": 1}) == {"input": 7, "output": 24}
    assert recounted(past, {"input": 1, "cache_write": 1, "output": 1})["cache_write"] == 4
    assert recounted({"input": 5}, {"call": 9}) == {"input": 5, "call": 1}


def test_the_largest_differences_are_shown_from_dearer_to_cheaper() -> None:
    groups = {}
    for name, difference in (("up", 50), ("down", -70), ("little", 1), ("more", 60)):
        sums = groups[name] = Sums()
        sums.add(100, 100 + difference)
    assert [name for name, _ in largest(groups, 3)] == ["more", "up", "down"]
    assert [sums.told()["percent"] for _, sums in largest(groups, 3)] == ["60", "50", "-70"]
    assert Sums().told()["percent"] is None


def test_a_period_has_two_ends_that_are_not_too_far_apart() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert check_period(now, now + timedelta(days=366)) == (now, now + timedelta(days=366))
    for since, until, param in (
        (None, now, "from"),
        (now, None, "to"),
        (now, now + timedelta(days=367), "to"),
    ):
        with pytest.raises(InvalidRequestError) as refused:
            check_period(since, until)
        assert refused.value.param == param
