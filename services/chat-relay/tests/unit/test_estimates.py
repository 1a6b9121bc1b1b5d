"""The estimator, and the bound that holds rest on."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_relay.domain.estimates import (
    IMAGE_BOUND_TOKENS,
    answer_tokens,
    input_bound,
    input_tokens,
    text_tokens,
)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("abcd", 1), ("abcde", 2), ("世界", 2), ("🌍", 1), ("éé", 1), ("世界 ab", 3)],
)
def test_text_is_counted_by_alphabet(text: str, tokens: int) -> None:
    assert text_tokens(text) == tokens


@given(st.text(max_size=200))
def test_the_bound_is_never_below_the_estimate(text: str) -> None:
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode()
    assert input_tokens(body) <= input_bound(body, None)


def test_an_inline_image_counts_as_an_image_and_not_as_its_bytes() -> None:
    picture = base64.b64encode(b"x" * 300_000).decode()
    part = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}}
    body = json.dumps({"messages": [{"role": "user", "content": [part, part]}]}).encode()
    assert 2 * IMAGE_BOUND_TOKENS < input_bound(body, None) < 2 * IMAGE_BOUND_TOKENS + 500
    assert input_bound(body, 8_000) == 8_000
    assert input_tokens(body) == 1_604


def test_an_inline_document_counts_as_its_bytes() -> None:
    text = base64.b64encode(b"x" * 3_000).decode()
    body = json.dumps(
        {"messages": [{"content": [{"file": {"file_data": f"data:application/pdf;base64,{text}"}}]}]}
    )
    assert input_bound(body.encode(), None) >= 4_000


def test_a_file_by_reference_may_fill_the_window() -> None:
    assert input_bound(b'{"messages":[{"content":[{"file":{"file_id":"f"}}]}]}', 128_000) == 128_000


@pytest.mark.parametrize(
    ("value", "tokens"), [('"four words in here"', 5), ("[1,2,3]", 3), ('["ab","cd"]', 2)]
)
def test_embedding_inputs_are_texts_or_tokens(value: str, tokens: int) -> None:
    assert input_tokens(b'{"model":"m","input":' + value.encode() + b"}") == tokens


def test_an_answers_text_is_content_reasoning_and_calls() -> None:
    message = {
        "content": "a" * 40,
        "reasoning_content": "b" * 40,
        "tool_calls": [{"function": {"name": "f" * 4, "arguments": "c" * 36}}],
    }
    assert answer_tokens(json.dumps({"choices": [{"message": message}] * 2}).encode()) == 60
    assert answer_tokens(b'{"data":[]}') == 0
