"""Money: exact, refused when it cannot be exact."""

from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.kit import money

AMOUNTS = st.integers(-money.MAX_NANO, money.MAX_NANO)
COUNTS = st.integers(0, 10**9)
PRICES = st.integers(0, 10**12)


@given(AMOUNTS)
def test_an_amount_survives_being_written_and_read(amount_nano: int) -> None:
    assert money.parse_usd(money.format_usd(amount_nano)) == amount_nano


@given(AMOUNTS)
def test_a_written_amount_is_the_shortest_plain_decimal(amount_nano: int) -> None:
    text = money.format_usd(amount_nano)
    with localcontext(prec=60):
        assert Decimal(text) == Decimal(amount_nano).scaleb(-9)
    assert "E" not in text
    assert not text.startswith("-0") or "." in text
    assert "." not in text or not text.endswith(("0", "."))


@pytest.mark.parametrize(
    ("text", "amount_nano"),
    [
        ("0", 0),
        ("-0", 0),
        ("10.00", 10_000_000_000),
        (" 0.000000001 ", 1),
        ("-1.5", -1_500_000_000),
        ("0.100000000000", 100_000_000),
        ("9223372036.854775807", 2**63 - 1),
        ("-9223372036.854775807", -(2**63) + 1),
    ],
)
def test_plain_decimals_are_read_exactly(text: str, amount_nano: int) -> None:
    assert money.parse_usd(text) == amount_nano


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        ".5",
        "1.",
        "+1",
        "1e3",
        "1_000",
        "1,5",
        "0x10",
        "NaN",
        "inf",
        "--1",
        "1 000",
        "\N{ARABIC-INDIC DIGIT ONE}",
        "0.0000000001",  # finer than a nano
        "9223372036.854775808",  # one nano over 64 bits
        "-9223372036.854775808",
        "9999999999999",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"decimal|large"):
        money.parse_usd(text)


def test_a_refusal_shows_no_more_than_the_start_of_a_long_text() -> None:
    with pytest.raises(ValueError, match="not a plain decimal") as caught:
        money.parse_usd("x" * 10_000)
    assert len(str(caught.value)) < 100


def test_prices_are_pico_usd_per_unit() -> None:
    assert money.per_million_to_pico("0.15") == 150_000
    assert money.per_one_to_pico("0.04") == 40_000_000_000
    assert money.parse_rate("0.85") == 850_000
    assert money.format_rate(850_000) == "0.85"
    with pytest.raises(ValueError, match="6 decimal places"):
        money.per_million_to_pico("0.0000001")


@pytest.mark.parametrize("parse", [money.parse_rate, money.per_million_to_pico, money.per_one_to_pico])
def test_nobody_is_paid_for_using_a_model(parse: "type[int]") -> None:
    with pytest.raises(ValueError, match="never negative"):
        parse("-0.01")


@given(st.integers(-(10**40), 10**40), st.integers(1, 10**15))
def test_rounding_agrees_with_exact_fractions(numerator: int, denominator: int) -> None:
    rounded = money.round_half_even(numerator, denominator)
    assert rounded == round(Fraction(numerator, denominator))  # Fraction rounds half to even


@given(st.integers(-(10**20), 10**20))
def test_ties_go_to_the_even_neighbour(value: int) -> None:
    assert money.round_half_even(2 * value + 1, 2) % 2 == 0


@given(
    st.dictionaries(st.sampled_from(("input", "output", "call", "image")), COUNTS),
    st.dictionaries(st.sampled_from(("input", "output", "call", "second")), PRICES),
    st.integers(0, 10 * money.MICRO),
)
def test_a_cost_is_the_exact_product_rounded_once(
    quantities: dict[str, int], unit_pico: dict[str, int], rate_micro: int
) -> None:
    with localcontext(prec=80):
        pico = sum(Decimal(count) * unit_pico.get(unit, 0) for unit, count in quantities.items())
        exact_nano = pico * rate_micro / money.MICRO / 1000
        expected = int(Decimal(exact_nano).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))
    assert money.cost_nano(quantities, unit_pico, rate_micro) == expected
