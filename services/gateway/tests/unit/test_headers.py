"""Which headers cross the gateway."""

import pytest

from gateway.domain.headers import read_headers, returned_headers


def _names(*headers: tuple[bytes, bytes]) -> list[bytes]:
    return [name for name, _ in read_headers(headers).forward]


@pytest.mark.parametrize(
    "name",
    [
        b"x-tollway-principal",
        b"x-tollway-anything",
        b"x_tollway_principal",
        b"x-tollway_principal",
        b"x_api_key",
        b"transfer_encoding",
        b"connection",
        b"keep-alive",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"proxy-authorization",
        b"proxy-connection",
        b"host",
        b"expect",
        b"forwarded",
        b"x-forwarded-for",
        b"x-real-ip",
        b"authorization",
        b"x-api-key",
        b"api-key",
        b"x-goog-api-key",
        b"mj-api-secret",
        b"sec-websocket-protocol",
        b"x-request-id",
        b"content-length",
    ],
)
def test_what_belongs_to_this_hop_or_to_the_gateway_is_not_forwarded(name: bytes) -> None:
    assert _names((name, b"value"), (b"x-other", b"1")) == [b"x-other"]


def test_everything_else_is_forwarded_in_order_with_repeats() -> None:
    headers = [(b"x-b", b"1"), (b"accept", b"*/*"), (b"x-b", b"2"), (b"anthropic_beta", b"y")]
    assert read_headers(headers).forward == headers


def test_headers_named_by_connection_belong_to_this_hop() -> None:
    headers = [(b"x-mine", b"1"), (b"connection", b"close, X-Mine , x-absent"), (b"x-other", b"2")]
    assert _names(*headers) == [b"x-other"]


def test_values_pass_byte_for_byte_and_the_length_apart() -> None:
    inbound = read_headers([(b"x-title", "Größe".encode()), (b"x-odd", b"\xff"), (b"content-length", b"5")])
    assert inbound.forward == [(b"x-title", "Größe".encode()), (b"x-odd", b"\xff")]
    assert inbound.length == b"5"


@pytest.mark.parametrize(
    ("value", "expected"),
    [(b"request-1234", "request-1234"), (b"short", None), (b"a\tb-12345678", None), (b"x" * 200, None)],
)
def test_only_a_sane_request_id_is_taken(value: bytes, expected: str | None) -> None:
    assert read_headers([(b"x-request-id", value)]).request_id == expected


def test_the_answer_loses_hop_by_hop_and_what_the_gateway_says_itself() -> None:
    headers = [
        (b"Content-Type", b"a"),
        (b"Connection", b"close"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Date", b"now"),
        (b"X-Request-Id", b"other"),
        (b"Access-Control-Allow-Origin", b"https://a"),
        (b"set-cookie", b"1"),
        (b"set-cookie", b"2"),
    ]
    assert returned_headers(headers) == [
        (b"Content-Type", b"a"),
        (b"set-cookie", b"1"),
        (b"set-cookie", b"2"),
    ]
