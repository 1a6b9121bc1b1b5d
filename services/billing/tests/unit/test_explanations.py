"""An explanation can be done again by hand, and comes to the charge."""

import re
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from billing.domain.explanations import explain
from billing.domain.statements import ChargedUsage
from billing.domain.usage import check_record
from common.contracts.usage import PriceTerms, UsageRecord
from common.kit.ids import uuid7
from common.kit.money import cost_nano, format_usd, product_micro

UNITS = ("input", "cached_input", "output", "reasoning", "audio_output", "call", "second", "character")
_LINE = re.compile(r"([0-9]+) (\w+) x ([0-9.]+) USD( per million)? = ([0-9.]+) USD")


def charged(**fields: Any) -> ChargedUsage:
    values: dict[str, Any] = {
        **dict.fromkeys(ChargedUsage.__struct_fields__, ""),
        "group": "vip",
        "model": "m",
        "price_version": 7,
        "started_at": datetime(2026, 1, 1, tzinfo=UTC),
        "estimated": False,
        "partial": False,
        "overage_nano": 0,
        "uncollected_nano": 0,
        "terms": None,
    }
    cost = cost_nano(fields["quantities"], fields["unit_pico"], fields["rate_micro"])
    return ChargedUsage(**(values | fields | {"cost_nano": cost, "from_held_nano": cost}))


def redone(lines: list[str]) -> Decimal:
    """What somebody with a pocket calculator gets who has nothing but the lines."""
    with localcontext() as context:
        context.prec = 200
        total = Decimal(0)
        for quantity, _, price, million, amount in _LINE.findall("\n".join(lines)):
            exact = Decimal(quantity) * Decimal(price) / (1_000_000 if million else 1)
            assert exact == Decimal(amount)
            total += exact
        rates = [line for line in lines if line.startswith("x ")]
        products = [line for line in lines if "(multiplier" in line]
        if rates:
            rate = Decimal(rates[0].split(" ")[1])
            total *= rate
            assert total == Decimal(rates[0].split(" = ")[1].removesuffix(" USD"))
            if products:
                product = Decimal(1)
                for factor in re.findall(r"(?:^|x )([0-9.]+) \(", products[0]):
                    product *= Decimal(factor)
                assert product.quantize(Decimal("0.000001"), ROUND_HALF_EVEN) == rate
        return total.quantize(Decimal("0.000000001"), ROUND_HALF_EVEN)


RATES = st.integers(0, 3_000_000)


@given(
    st.dictionaries(st.sampled_from(UNITS), st.integers(0, 10**7)),
    st.dictionaries(st.sampled_from(UNITS), st.integers(0, 10**12)),
    RATES,
    st.dictionaries(st.sampled_from(("night", "sale", "vip-2")), RATES),
)
def test_the_numbers_of_an_explanation_add_up_to_the_charge(
    quantities: dict[str, int], unit_pico: dict[str, int], group_rate: int, multipliers: dict[str, int]
) -> None:
    terms = None
    rate = group_rate
    if multipliers:
        terms = PriceTerms("m", 0, group_rate, multipliers)
        rate = product_micro((group_rate, *multipliers.values()))
    frozen = {unit: pico for unit, pico in unit_pico.items() if unit in quantities}
    charge = charged(quantities=quantities, unit_pico=frozen, rate_micro=rate, terms=terms)
    lines = explain(charge)
    assert redone(lines) == Decimal(format_usd(charge.cost_nano))
    assert f"rounded once to a billionth, half to even: {format_usd(charge.cost_nano)} USD" in lines
    record = UsageRecord(
        uuid7(), "r", uuid7(), "u", uuid7(), "", "chat", "m", "m", "c", "vip", 1, 1, None, 200, "ok",
        quantities, frozen, 7, rate, charge.cost_nano, terms=terms,
    )  # fmt: skip
    check_record(record)  # billing's own check sees it the same way


def test_a_tier_a_stem_and_multipliers_are_told_line_by_line() -> None:
    terms = PriceTerms("claude-sonnet-4-5", 200_000, 850_000, {"night": 500_000})
    charge = charged(
        model="claude-sonnet-4-5-20250929",
        quantities={"input": 50_000, "cached_input": 200_000, "output": 1_000},
        unit_pico={"input": 6_000_000, "cached_input": 600_000, "output": 22_500_000},
        rate_micro=425_000,
        terms=terms,
    )
    assert explain(charge) == [
        "price of claude-sonnet-4-5, version 7 for claude-sonnet-4-5-20250929, which has none of its own",
        "tier above 200000 prompt tokens, since the prompt has 250000: its prices hold for the whole request",
        "50000 input x 6 USD per million = 0.3 USD",
        "200000 cached_input x 0.6 USD per million = 0.12 USD",
        "1000 output x 22.5 USD per million = 0.0225 USD",
        "sum = 0.4425 USD",
        "0.85 (rate of group vip) x 0.5 (multiplier night) = 0.425, to six decimals",
        "x 0.425 (all rates) = 0.1880625 USD",
        "rounded once to a billionth, half to even: 0.1880625 USD",
        "from the lease: 0.1880625 USD",
    ]
