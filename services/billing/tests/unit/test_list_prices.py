"""The packaged list prices: every tier of theirs is one of ours, and costs the same."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from billing.adapters.list_prices import collect
from common.contracts.prices import Price
from common.kit.money import PICO_PER_USD


@pytest.fixture(scope="module")
def listed() -> list[Price]:
    return collect()


def packaged() -> list[tuple[Any, Any]]:
    from genai_prices.data import providers  # noqa: PLC0415  a second and tens of megabytes

    return [(provider, model) for provider in providers for model in provider.models]


def test_no_tier_of_the_package_is_lost(listed: list[Price]) -> None:
    prices = {price.model: price for price in listed if not price.effective_from_ms}
    now = datetime.now(UTC)
    compared = 0
    for provider, model in packaged():
        if provider.id not in {"openai", "anthropic", "google", "mistral"} or isinstance(model.prices, list):
            continue
        theirs = model.get_prices(now)
        thresholds = getattr(theirs.input_mtok, "tiers", ())
        if not thresholds:
            continue
        ours = prices[model.id]
        assert [tier.above for tier in ours.tiers] == [tier.start for tier in thresholds]
        for size in (edge + step for tier in thresholds for edge in (tier.start,) for step in (0, 1)):
            usage: Any = {"input_tokens": size, "output_tokens": 100}
            cost = model.calc_price(_usage(**usage), provider).total_price
            tier = ours.tier_of({"input": size})
            units = ours.unit_pico if tier is None else tier.unit_pico
            assert size * units["input"] + 100 * units.get("output", 0) == cost * PICO_PER_USD, model.id
        compared += 1
    assert compared >= 10


def _usage(**counts: int) -> Any:
    from genai_prices import Usage  # noqa: PLC0415  as above

    return Usage(**counts)


def test_announced_prices_have_their_day_and_off_peak_ones_are_left_to_multipliers(
    listed: list[Price],
) -> None:
    now_ms = datetime.now(UTC).timestamp() * 1000
    assert all(price.effective_from_ms == 0 or price.effective_from_ms > now_ms for price in listed)
    by_hour = {
        (provider.id, model.id): model
        for provider, model in packaged()
        if isinstance(model.prices, list)
        and any(hasattr(conditional.constraint, "start_time") for conditional in model.prices)
    }
    assert by_hour
    prices = {price.model: price for price in listed if not price.effective_from_ms}
    for (_, name), model in by_hour.items():
        active = [row.prices for row in model.prices if hasattr(row.constraint, "start_time")]
        dearest = max(Decimal(row.input_mtok) for row in active)
        assert prices[name].unit_pico["input"] >= int(dearest * 10**6)
