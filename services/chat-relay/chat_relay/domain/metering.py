"""Usage → quantities → cost, and what a request must reserve before it starts. Pure arithmetic.

Quantities are disjoint: their sum is all tokens. Cached, reasoning, audio and image tokens are split off only
when the price names them, otherwise they are billed as plain input and output.
"""

from collections.abc import Mapping
from typing import Annotated

import msgspec

from chat_relay.domain.prices import PICO_MICRO_PER_NANO, Ceiling, ModelPrice

DEFAULT_OUTPUT_LIMIT = 4_096
"""Reserved for the answer when neither the request nor the price book says how long it can be."""
MINIMUM_OUTPUT_TOKENS = 64
"""The least worth starting a stream for when the balance cannot cover all of it."""


Tokens = Annotated[int, msgspec.Meta(le=10**9)]
"""A count beyond this is no count: such usage is treated as missing."""


class _Details(msgspec.Struct, gc=False):
    cached_tokens: Tokens | None = None
    cache_write_tokens: Tokens | None = None
    audio_tokens: Tokens | None = None
    image_tokens: Tokens | None = None
    reasoning_tokens: Tokens | None = None


class Usage(msgspec.Struct, gc=False):
    """OpenAI's usage object, with DeepSeek's name for cached tokens."""

    prompt_tokens: Tokens
    completion_tokens: Tokens | None = None
    total_tokens: Tokens | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    prompt_cache_hit_tokens: Tokens | None = None


class _Answer(msgspec.Struct, gc=False):
    usage: msgspec.Raw = msgspec.Raw()


_ANSWER = msgspec.json.Decoder(_Answer)
_USAGE = msgspec.json.Decoder(Usage)


def quantities_of(usage: Usage, price: ModelPrice) -> dict[str, int]:
    """Units of the price list to counts, each at least 0, zeros left out except input.

    Where a vendor counts reasoning beside the completion instead of in it, `total_tokens` shows it and both
    are billed.
    """
    unit = price.unit_pico
    prompt = max(0, usage.prompt_tokens)
    completion = max(0, usage.completion_tokens or 0)
    quantities = {"call": 1} if "call" in unit else {}
    details = usage.completion_tokens_details
    if details is not None:
        reasoning = max(0, details.reasoning_tokens or 0)
        if reasoning and usage.total_tokens == prompt + completion + reasoning:
            completion += reasoning
        completion = _split(quantities, unit, "reasoning", reasoning, completion)
        completion = _split(quantities, unit, "audio_output", details.audio_tokens, completion)
        completion = _split(quantities, unit, "image_output", details.image_tokens, completion)
    cached = usage.prompt_cache_hit_tokens
    given = usage.prompt_tokens_details
    if given is not None:
        prompt = _split(quantities, unit, "audio_input", given.audio_tokens, prompt)
        prompt = _split(quantities, unit, "image_input", given.image_tokens, prompt)
        prompt = _split(quantities, unit, "cache_write", given.cache_write_tokens, prompt)
        cached = given.cached_tokens if given.cached_tokens is not None else cached
    prompt = _split(quantities, unit, "cached_input", cached, prompt)
    quantities["input"] = prompt
    if completion:
        quantities["output"] = completion
    return quantities


def estimated_quantities(input_tokens: int, output_tokens: int, price: ModelPrice) -> dict[str, int]:
    """Quantities when the counts are ours."""
    quantities = {"input": input_tokens}
    if output_tokens:
        quantities["output"] = output_tokens
    if "call" in price.unit_pico:
        quantities["call"] = 1
    return quantities


def output_limit(requested: int | None, price: ModelPrice) -> int:
    """Output tokens of one choice that must be reserved."""
    if requested is None:
        return price.max_output or DEFAULT_OUTPUT_LIMIT
    return min(requested, price.max_output) if price.max_output else requested


def hold_nano(
    ceiling: Ceiling, rate_micro: int, input_tokens: int, output_tokens: int, *, any_input: bool = False
) -> int:
    """nano-USD that cover so many tokens, rounded up; `any_input` when not all of them need be text."""
    input_pico = ceiling.any_input_pico if any_input else ceiling.input_pico
    pico = input_tokens * input_pico + output_tokens * ceiling.output_pico + ceiling.call_pico
    return -(-pico * rate_micro // PICO_MICRO_PER_NANO)


def output_nano(ceiling: Ceiling, rate_micro: int, tokens: int) -> int:
    """nano-USD for so many output tokens, rounded up."""
    return -(-tokens * ceiling.output_pico * rate_micro // PICO_MICRO_PER_NANO)


def tokens_covered(amount_nano: int, ceiling: Ceiling, rate_micro: int, input_hold_nano: int) -> int:
    """Output tokens that `amount_nano` covers after `input_hold_nano` for the input."""
    per_token = ceiling.output_pico * rate_micro
    if not per_token:
        return 1 << 62
    return max(0, amount_nano - input_hold_nano) * PICO_MICRO_PER_NANO // per_token


def _split(
    quantities: dict[str, int], unit: Mapping[str, int], name: str, count: int | None, total: int
) -> int:
    """Move `count` (at most `total`) to a unit of its own if the price has it; what is left of `total`."""
    if not count or name not in unit:
        return total
    moved = min(max(0, count), total)
    if moved:
        quantities[name] = moved
    return total - moved


def usage_of(answer: bytes) -> Usage | None:
    """The usage object of a whole JSON answer, None when there is none that can be read.

    Raises msgspec.DecodeError when the answer is not a JSON object.
    """
    try:
        raw = _ANSWER.decode(answer).usage
        return _USAGE.decode(raw) if raw else None
    except msgspec.ValidationError:
        return None
