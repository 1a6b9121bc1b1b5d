"""Bodies: what is read, what is refused, what is rewritten."""

import json

import pytest

from chat_relay.domain.requests import parse_chat, parse_embeddings
from common.contracts.errors import InvalidRequestError

BASE = b'{"model":"m","messages":[{"role":"user","content":"\\"model\\":\\"x\\""}],"temperature":0.30}'


def with_members(text: bytes) -> bytes:
    return BASE[:-1] + b"," + text + b"}"


def test_the_fields_that_decide_the_price_are_read() -> None:
    request = parse_chat(with_members(b'"n":3,"max_tokens":7,"max_completion_tokens":9,"stream":true'))
    assert (request.model, request.choices, request.output_limit, request.stream) == ("m", 3, 9, True)


def test_nulls_stand_for_absent_fields() -> None:
    request = parse_chat(with_members(b'"n":null,"max_tokens":null,"stream":null,"stream_options":null'))
    assert (request.choices, request.output_limit, request.stream) == (1, None, False)


def test_a_json_request_is_sent_as_it_came() -> None:
    assert parse_chat(BASE).upstream_body("m") is BASE


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (b'"stream":true', b'"stream":true'),
        (b'"stream":true,"stream_options":null', b'"stream":true,"stream_options":{"include_usage":true}'),
        (b'"stream":true,"stream_options":{}', b'"stream":true,"stream_options":{"include_usage":true}'),
        (
            b'"stream":true,"stream_options": { "include_obfuscation" : false }',
            b'"stream":true,"stream_options": {"include_usage":true, "include_obfuscation" : false }',
        ),
        (
            b'"stream":true,"stream_options":{"include_usage" : false,"y":1}',
            b'"stream":true,"stream_options":{"include_usage" : true,"y":1}',
        ),
        (
            b'"stream":true,"stream_options":{"include_usage" : true}',
            b'"stream":true,"stream_options":{"include_usage" : true}',
        ),
    ],
)
def test_a_stream_asks_for_usage_by_the_smallest_change(given: bytes, sent: bytes) -> None:
    changed = parse_chat(with_members(given)).upstream_body("m")
    expected = with_members(sent)
    if given == sent and b"include_usage" not in given:
        expected = b'{"stream_options":{"include_usage":true},' + expected[1:]
    assert changed == expected
    assert json.loads(changed)["stream_options"]["include_usage"] is True


def test_a_renamed_model_is_written_as_json() -> None:
    changed = parse_chat(BASE).upstream_body('we"ird/é')
    assert changed == BASE.replace(b'"m"', '"we\\"ird/é"'.encode(), 1)


@pytest.mark.parametrize(
    "extra",
    [
        b'"model":"x"',
        b'"mod\\u0065l":"x"',
        b'"stream":true,"stream":false',
        b'"n":1,"n":2',
        b'"\\u006e":1,"n":2',
    ],
)
def test_a_field_that_decides_the_price_may_appear_once(extra: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="more than once"):
        parse_chat(with_members(extra))


def test_the_same_names_deeper_down_are_nobodys_business() -> None:
    body = with_members(
        b'"tools":[{"model":1,"n":2,"stream":3}],"metadata":{"model":"y","\\u006e":"z"},"n":2'
    )
    assert parse_chat(body).choices == 2


@pytest.mark.parametrize(
    "body", [b'{"model":"m"}', b'{"input":"x"}', b'"x"', b"\xff", b'{"model":"m","input"']
)
def test_an_embeddings_body_needs_model_and_input(body: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        parse_embeddings(body)
