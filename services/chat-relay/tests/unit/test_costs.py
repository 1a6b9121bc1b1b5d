"""What upstreams take: the most exact terms win, one rounding, nothing is guessed."""

import msgspec
import pytest

from chat_relay.domain.costs import CostTerms, ModelCost, cost_from_spec, rate_from_text, spec_fields
from chat_relay.usecases.channels import channels_from
from common.contracts.bootstrap import ChannelSpec, CostSpec, UnitPricesSpec
from common.contracts.errors import InvalidRequestError

LIST = {"input": 150_000, "output": 600_000}
USED = {"input": 1_000, "output": 101}


def test_the_exact_model_wins_over_the_longest_pattern_and_that_over_the_rate() -> None:
    terms = CostTerms(
        800_000,
        [
            ModelCost("gpt-*", {"input": 1_000}),
            ModelCost("gpt-4o*", {"input": 2_000}),
            ModelCost("gpt-4o-mini", {"output": 3_000}),
        ],
    )
    assert terms.cost_nano("gpt-4o-mini", USED, LIST) == 303
    assert terms.cost_nano("gpt-4o", USED, LIST) == 2_000
    assert terms.cost_nano("gpt-5", USED, LIST) == 1_000
    assert terms.cost_nano("claude", USED, LIST) == (150_000_000 + 60_600_000) * 8 // 10_000


def test_it_is_rounded_once_half_to_even_and_unknown_terms_are_none() -> None:
    assert CostTerms(500_000, ()).cost_nano("m", {"input": 1}, {"input": 1_000}) == 0
    assert CostTerms(500_000, ()).cost_nano("m", {"input": 3}, {"input": 1_000}) == 2
    assert CostTerms(0, ()).cost_nano("m", USED, LIST) == 0
    assert CostTerms(None, ()).cost_nano("m", USED, LIST) is None
    assert CostTerms(None, [ModelCost("x", LIST)]).cost_nano("m", USED, LIST) is None
    assert CostTerms(10**6, ()).cost_nano("m", {"input": 2**62}, {"input": 10**9}) is None


def test_costs_are_written_as_prices_are() -> None:
    cost = cost_from_spec("m*", UnitPricesSpec(input="0.15", per_call="0.01", per_second="0"))
    assert cost == ModelCost("m*", {"input": 150_000, "call": 10_000_000_000, "second": 0})
    assert spec_fields(cost) == {"model": "m*", "input": "0.15", "per_call": "0.01", "per_second": "0"}


@pytest.mark.parametrize("fields", [{}, {"input": "-1"}, {"input": "1e3"}, {"output": "0.0000001"}])
def test_what_is_no_cost_is_refused(fields: dict[str, str]) -> None:
    with pytest.raises(InvalidRequestError):
        cost_from_spec("m", UnitPricesSpec(**fields))
    with pytest.raises(InvalidRequestError):
        rate_from_text("-0.5")


def test_the_file_names_a_channel_and_each_model_once() -> None:
    spec = ChannelSpec("a", "openai", "http://127.0.0.1:1", ("m",), cost_rate="0.8")
    costs = (CostSpec(channel="a", model="m", input="1"),)
    (channel,) = channels_from((spec,), costs)
    assert (channel.cost_rate_micro, channel.costs) == (800_000, (ModelCost("m", {"input": 1_000_000}),))
    with pytest.raises(InvalidRequestError, match="no channel"):
        channels_from((spec,), (msgspec.structs.replace(costs[0], channel="b"),))
    with pytest.raises(InvalidRequestError, match="two costs"):
        channels_from((spec,), costs * 2)
    with pytest.raises(InvalidRequestError, match="cost_rate"):
        channels_from((msgspec.structs.replace(spec, cost_rate="cheap"),))
