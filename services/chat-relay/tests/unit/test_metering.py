"""Usage, quantities, holds."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_relay.domain.metering import (
    hold_nano,
    output_limit,
    quantities_of,
    tokens_covered,
    usage_of,
)
from chat_relay.domain.prices import ModelPrice, Prices
from common.contracts.prices import Price, PriceBook
from common.kit.money import cost_nano


def price(**unit_pico: int) -> ModelPrice:
    return ModelPrice(Price("m", unit_pico))


PLAIN = price(input=150_000, output=600_000)
RICH = price(
    input=100, cached_input=50, output=400, reasoning=500, audio_input=900, audio_output=1_000, call=7_000
)


def usage(text: str) -> dict[str, int]:
    found = usage_of(b'{"usage":' + text.encode() + b"}")
    assert found is not None
    return quantities_of(found, RICH)


@pytest.mark.parametrize(
    ("text", "quantities"),
    [
        ('{"prompt_tokens":10}', {"call": 1, "input": 10}),
        ('{"prompt_tokens":10,"completion_tokens":5}', {"call": 1, "input": 10, "output": 5}),
        (
            (
                '{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":'
                '{"cached_tokens":4,"audio_tokens":3},'
                '"completion_tokens_details":{"reasoning_tokens":2,"audio_tokens":1}}'
            ),
            {
                "call": 1,
                "input": 3,
                "cached_input": 4,
                "audio_input": 3,
                "output": 2,
                "reasoning": 2,
                "audio_output": 1,
            },
        ),
        ('{"prompt_tokens":10,"prompt_cache_hit_tokens":6}', {"call": 1, "input": 4, "cached_input": 6}),
        (
            '{"prompt_tokens":5,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":99}}',
            {"call": 1, "input": 0, "cached_input": 5, "output": 1},
        ),
        ('{"prompt_tokens":-5,"completion_tokens":-1}', {"call": 1, "input": 0}),
        (
            (
                '{"prompt_tokens":3,"completion_tokens":4,"total_tokens":12,'
                '"completion_tokens_details":{"reasoning_tokens":5}}'
            ),
            {"call": 1, "input": 3, "output": 4, "reasoning": 5},
        ),
    ],
)
def test_usage_becomes_disjoint_quantities(text: str, quantities: dict[str, int]) -> None:
    assert usage(text) == quantities


def test_what_the_price_does_not_name_is_plain_input_and_output() -> None:
    found = usage_of(
        b'{"usage":{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":4},'
        b'"completion_tokens_details":{"reasoning_tokens":2}}}'
    )
    assert found is not None
    assert quantities_of(found, PLAIN) == {"input": 10, "output": 5}


def test_images_and_cache_writes_are_counted_apart_where_they_have_a_price() -> None:
    found = usage_of(
        b'{"usage":{"prompt_tokens":100,"completion_tokens":50,"prompt_tokens_details":'
        b'{"cached_tokens":10,"cache_write_tokens":20,"image_tokens":30},'
        b'"completion_tokens_details":{"image_tokens":40}}}'
    )
    assert found is not None
    full = price(input=1, cached_input=1, cache_write=1, image_input=1, output=1, image_output=1)
    assert quantities_of(found, full) == {
        "input": 40,
        "cached_input": 10,
        "cache_write": 20,
        "image_input": 30,
        "output": 10,
        "image_output": 40,
    }
    assert quantities_of(found, PLAIN) == {"input": 100, "output": 50}


@pytest.mark.parametrize(
    "answer",
    [
        b"{}",
        b'{"usage":null}',
        b'{"usage":{}}',
        b'{"usage":{"prompt_tokens":1.5}}',
        b'{"usage":{"prompt_tokens":1e99}}',
    ],
)
def test_usage_that_is_missing_or_absurd_is_none(answer: bytes) -> None:
    assert usage_of(answer) is None


def test_an_answer_that_is_not_json_is_an_error() -> None:
    with pytest.raises(msgspec.DecodeError):
        usage_of(b"<html>")


@given(
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.integers(1, 10**7),
    st.integers(0, 10**7),
    st.integers(0, 10**7),
)
def test_a_hold_covers_its_tokens_and_the_coverage_is_its_inverse(
    tokens_in: int, tokens_out: int, rate: int, input_pico: int, output_pico: int
) -> None:
    model = price(input=input_pico, output=output_pico)
    ceiling = model.ceiling(tokens_in)
    hold = hold_nano(ceiling, rate, tokens_in, tokens_out)
    exact = cost_nano({"input": tokens_in, "output": tokens_out}, model.unit_pico, rate)
    assert exact <= hold <= exact + 1
    input_hold = hold_nano(ceiling, rate, tokens_in, 0)
    if output_pico:
        covered = tokens_covered(hold, ceiling, rate, input_hold)
        assert hold_nano(ceiling, rate, 0, covered) + input_hold <= hold + 1


def test_the_hold_assumes_the_dearest_kind_of_token() -> None:
    assert hold_nano(RICH.ceiling(0), 1_000_000, 1_000, 0) == 107
    assert hold_nano(RICH.ceiling(0), 1_000_000, 1_000, 0, any_input=True) == 907
    assert hold_nano(RICH.ceiling(0), 1_000_000, 0, 1_000) == 1_007


@pytest.mark.parametrize(
    ("requested", "model_limit", "limit"),
    [(None, None, 4_096), (None, 100, 100), (50, 100, 50), (500, 100, 100)],
)
def test_the_output_limit_is_the_requests_or_the_models(
    requested: int | None, model_limit: int | None, limit: int
) -> None:
    assert output_limit(requested, ModelPrice(Price("m", {}, max_output=model_limit))) == limit


def test_an_older_price_book_is_ignored() -> None:
    prices = Prices()
    assert not prices.loaded
    prices.load(PriceBook(5, (Price("a", {"input": 1}),)))
    prices.load(PriceBook(4, (Price("b", {"input": 1}),)))
    assert prices.of("a", 0) is not None
    assert prices.of("b", 0) is None
