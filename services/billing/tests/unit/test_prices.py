"""What people write becomes a price, or an error that names the field; and which prices are news."""

from typing import Any

import msgspec
import pytest

from billing.domain.multipliers import (
    MAX_MULTIPLIERS,
    changed_multipliers,
    multiplier_fields,
    multiplier_from_spec,
    multipliers_from_specs,
)
from billing.domain.prices import (
    API_SOURCE,
    FILE_SOURCE,
    SEED_PREFIX,
    changed_prices,
    format_ms,
    price_from_spec,
    prices_from_specs,
    prune_upcoming,
    spec_fields,
)
from common.contracts.bootstrap import MultiplierSpec, PriceSpec
from common.contracts.errors import InvalidRequestError
from common.contracts.prices import Multiplier, Price, PriceBook, Tier

NOW_MS = 1_767_000_000_000
LATER_MS = NOW_MS + 86_400_000
SEED = SEED_PREFIX + "1.0"


def price(**fields: Any) -> Price:
    return price_from_spec(msgspec.convert({"model": "m", "input": "3", **fields}, PriceSpec), API_SOURCE)


def multiplier(**fields: Any) -> Multiplier:
    spec = msgspec.convert({"name": "night", "rate": "0.5", **fields}, MultiplierSpec)
    return multiplier_from_spec(spec, API_SOURCE)


def test_every_unit_can_be_written_and_is_read_back_as_written() -> None:
    written = {name: "0.25" for name in PriceSpec.__struct_fields__ if name.startswith("per_")} | {
        "input": "3",
        "cached_input": "0.3",
        "cache_write": "3.75",
        "cache_write_1h": "6",
        "output": "15",
        "reasoning": "15",
        "audio_input": "40",
        "audio_output": "80",
        "image_input": "10",
        "image_output": "40.000001",
    }
    kept = price(**written)
    assert len(kept.unit_pico) == 15
    assert kept.unit_pico["image_output"] == 40_000_001
    assert kept.unit_pico["call"] == 250_000_000_000
    assert spec_fields(kept.unit_pico) == written


def test_a_tier_is_complete_and_says_what_it_changes() -> None:
    kept = price(output="15", tiers=[{"above": 200_000, "input": "6"}, {"above": 500_000, "output": "30"}])
    assert kept.tiers == (
        Tier(200_000, {"input": 6_000_000, "output": 15_000_000}),
        Tier(500_000, {"input": 3_000_000, "output": 30_000_000}),
    )


@pytest.mark.parametrize(
    ("fields", "param", "said"),
    [
        ({"input": "-1"}, "input", "negative"),
        ({"input": "0.0000001"}, "input", "more than 6 decimal places"),
        ({"per_call": "0.0000000000001"}, "per_call", "not a plain decimal"),
        ({"output": "9" * 13}, "output", "not a plain decimal"),
        ({"per_call": "99999999"}, "per_call", "too large"),
        ({"output": "1e3"}, "output", "not a plain decimal"),
        ({"input": None}, "input", "no price"),
        ({"max_output": 0}, "max_output", "number of tokens"),
        ({"effective_from": "2027-01-01T00:00:00"}, "effective_from", "zone"),
        ({"effective_from": "soon"}, "effective_from", "time"),
        ({"effective_from": "9999-01-01T00:00:00Z"}, "effective_from", "2100"),
        ({"tiers": [{"above": 0, "input": "1"}]}, "tiers[0].above", "number of tokens"),
        ({"tiers": [{"above": 5}]}, "tiers[0]", "no price"),
        (
            {"tiers": [{"above": 5, "input": "1"}, {"above": 5, "input": "2"}]},
            "tiers[1].above",
            "not above",
        ),
        ({"tiers": [{"above": 5, "input": "-2"}]}, "tiers[0].input", "negative"),
        ({"tiers": [{"above": 5, "reasoning": "2"}]}, "tiers[0]", "which the base does not"),
        ({"tiers": [{"above": n, "input": "1"} for n in range(1, 18)]}, "tiers", "at most 16"),
        ({"model": "x" * 201}, "model", "name"),
        ({"model": ""}, "model", "name"),
    ],
)
def test_a_price_that_is_none_names_its_field(fields: dict[str, Any], param: str, said: str) -> None:
    with pytest.raises(InvalidRequestError, match=said) as refused:
        price(**fields)
    assert refused.value.param == param


def test_a_model_has_one_price_for_each_time() -> None:
    specs = [PriceSpec(model="m", input="1"), PriceSpec(model="m", input="2")]
    with pytest.raises(InvalidRequestError, match="m has two prices"):
        prices_from_specs(specs, FILE_SOURCE)
    specs[1] = PriceSpec(model="m", input="2", effective_from="2027-01-01T00:00:00+08:00")
    kept = prices_from_specs(specs, FILE_SOURCE)
    assert [format_ms(row.effective_from_ms) for row in kept][1] == "2026-12-31T16:00:00.000+00:00"


def test_a_multiplier_is_read_back_as_written() -> None:
    written = {
        "name": "night",
        "rate": "0.5",
        "group": "vip",
        "model": "deepseek-*",
        "zone": "Asia/Shanghai",
        "from": "22:30",
        "to": "06:00",
        "weekdays": ["mon", "sat"],
        "valid_from": "2026-12-01T00:00:00.000+00:00",
        "valid_to": "2027-01-01T00:00:00.000+00:00",
    }
    kept = multiplier(**written)
    assert (kept.rate_micro, kept.from_minute, kept.to_minute, kept.weekdays) == (500_000, 1_350, 360, (1, 6))
    assert multiplier_fields(kept) == written
    assert multiplier_fields(multiplier())["to"] == "24:00"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"rate": "-0.5"}, "rate"),
        ({"rate": "0.0000001"}, "rate"),
        ({"rate": "1000.1"}, "rate"),
        ({"rate": "half"}, "rate"),
        ({"zone": "Mars/Olympus"}, "zone"),
        ({"zone": "../etc/passwd"}, "zone"),
        ({"zone": ""}, "zone"),
        ({"from": "8:00"}, "from"),
        ({"from": "08:60"}, "from"),
        ({"to": "24:01"}, "to"),
        ({"model": "a*b"}, "model"),
        ({"model": ""}, "model"),
        ({"group": "vi*"}, "group"),
        ({"name": "a b"}, "name"),
        ({"name": ""}, "name"),
        ({"valid_from": "2026-12-01"}, "valid_from"),
        ({"valid_from": "2026-12-01T00:00:30Z"}, "valid_from"),
        ({"valid_from": "2026-12-01T00:00:00Z", "valid_to": "2026-12-01T00:00:00Z"}, "valid_to"),
    ],
)
def test_a_multiplier_that_is_none_names_its_field(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        multiplier(**fields)
    assert refused.value.param == param


def test_a_list_has_a_name_once_and_the_book_a_limit() -> None:
    spec = MultiplierSpec("night", "0.5")
    with pytest.raises(InvalidRequestError, match="twice"):
        multipliers_from_specs([spec, spec], FILE_SOURCE)
    current = {str(number): Multiplier(str(number), 1) for number in range(MAX_MULTIPLIERS)}
    assert changed_multipliers(current, [Multiplier("1", 1, version=4)]) == []
    assert changed_multipliers(current, [Multiplier("1", 2)]) == [Multiplier("1", 2)]
    with pytest.raises(InvalidRequestError, match="at most"):
        changed_multipliers(current, [Multiplier("new", 1)])


def kept(pico: int, source: str = FILE_SOURCE, effective_ms: int = 0, model: str = "m") -> Price:
    return Price(model, {"input": pico}, source=source, effective_from_ms=effective_ms)


def news(book: PriceBook, *offered: Price) -> list[tuple[int, int]]:
    return [(row.unit_pico["input"], row.effective_from_ms) for row in changed_prices(book, offered, NOW_MS)]


def test_nothing_is_priced_backwards_and_the_same_again_is_no_news() -> None:
    book = PriceBook(1, (kept(1),), (kept(5, effective_ms=LATER_MS),))
    assert news(book, kept(2, effective_ms=NOW_MS - 1)) == [(2, NOW_MS)]
    assert news(book, kept(1), kept(5, effective_ms=LATER_MS)) == []
    assert news(book, kept(6, effective_ms=LATER_MS)) == [(6, LATER_MS)]
    assert news(book, kept(5, effective_ms=LATER_MS + 1)) == [(5, LATER_MS + 1)]
    assert news(book, kept(1, API_SOURCE)) == [(1, NOW_MS)]


def test_of_the_prices_of_a_file_that_are_due_the_latest_counts() -> None:
    book = PriceBook(0, ())
    assert news(book, kept(2, effective_ms=20), kept(1), kept(3, effective_ms=10)) == [(2, NOW_MS)]


def test_the_seed_never_takes_a_model_back() -> None:
    spoken = PriceBook(1, (kept(1),))
    assert news(spoken, kept(2, SEED), kept(3, SEED, LATER_MS)) == []
    seeded = PriceBook(1, (kept(1, SEED),), (kept(3, SEED, LATER_MS),))
    assert news(seeded, kept(1, SEED), kept(3, SEED, LATER_MS)) == []
    assert news(seeded, kept(2, SEED), kept(4, SEED, LATER_MS)) == [(2, NOW_MS), (4, LATER_MS)]
    mixed = PriceBook(1, (kept(1, SEED),), (kept(3, API_SOURCE, LATER_MS),))
    assert news(mixed, kept(4, SEED, LATER_MS)) == []
    upcoming = [
        kept(9, SEED, LATER_MS + 2),
        kept(8, API_SOURCE, LATER_MS + 1),
        kept(7, SEED, LATER_MS),
        kept(6, SEED, LATER_MS, "other"),
    ]
    left = prune_upcoming([kept(1, SEED)], upcoming)
    assert [row.unit_pico["input"] for row in left] == [7, 6, 8]
    assert [row.model for row in prune_upcoming([kept(1)], upcoming)] == ["other", "m"]


def test_of_two_versions_for_one_time_the_newer_is_to_come() -> None:
    rows = [
        msgspec.structs.replace(kept(pico, effective_ms=LATER_MS), version=version)
        for pico, version in ((5, 2), (4, 1))
    ]
    (left,) = prune_upcoming([], rows)
    assert left.unit_pico["input"] == 5
