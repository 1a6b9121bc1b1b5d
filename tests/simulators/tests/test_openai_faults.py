"""Every fault as it is felt outside: by openai-python 3.52, by httpx, and byte by byte."""

import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import openai
import pytest

KEY = {"authorization": "Bearer sk-any"}
SAID: Any = [{"role": "user", "content": "hi"}]


@pytest.fixture
def client(simulator: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{simulator}/openai/v1", api_key="sk-any", max_retries=0) as made:
        yield made


def post(simulator: str, model: str, **fields: Any) -> httpx.Response:
    body = {"model": model, "messages": SAID, **fields}
    return httpx.post(f"{simulator}/openai/v1/chat/completions", json=body, headers=KEY)


def streamed(client: openai.OpenAI, model: str) -> tuple[list[str], Exception | None]:
    """The contents that arrived, and what the client raised after them."""
    contents: list[str] = []
    try:
        for chunk in client.chat.completions.create(model=model, messages=SAID, stream=True):
            contents += [choice.delta.content for choice in chunk.choices if choice.delta.content]
    except openai.APIError as error:
        return contents, error
    return contents, None


def raw_exchange(simulator: str, model: str, *, stream: bool) -> list[bytes]:
    """What each read of the socket returned, up to its end."""
    address = urlsplit(simulator)
    body = msgspec.json.encode({"model": model, "messages": SAID, "stream": stream})
    head = f"POST /openai/v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n"
    head += "authorization: Bearer sk-any\r\nconnection: close\r\n\r\n"
    reads = []
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(head.encode() + body)
        while data := connection.recv(65536):
            reads.append(data)
    return reads


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
def test_a_status_fault_raises_the_clients_own_error(
    client: openai.OpenAI, status: int, error: type[openai.APIStatusError]
) -> None:
    with pytest.raises(error) as caught:
        client.chat.completions.create(model=f"sim-{status}", messages=SAID)
    assert caught.value.status_code == status
    assert caught.value.request_id is not None
    assert caught.value.body is not None


def test_a_rate_limit_says_when_to_come_back(simulator: str) -> None:
    answer = post(simulator, "sim-429")
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["error"]["code"] == "rate_limit_exceeded"


def test_a_failure_of_the_first_requests_only_is_healed_by_the_clients_retries(simulator: str) -> None:
    with openai.OpenAI(base_url=f"{simulator}/openai/v1", api_key="sk-any", max_retries=2) as client:
        raw = client.chat.completions.with_raw_response.create(model="sim-500+first-2", messages=SAID)
    assert raw.retries_taken == 2


def test_an_unknown_sim_model_does_not_exist(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="sim-typo", messages=SAID)
    assert caught.value.code == "model_not_found"


def test_a_cut_stream_delivers_its_chunks_then_a_connection_error(client: openai.OpenAI) -> None:
    contents, error = streamed(client, "sim-cut-after-5")
    assert len(contents) == 5
    assert isinstance(error, openai.APIConnectionError)


def test_a_cut_stream_ends_the_socket_without_the_terminating_chunk(simulator: str) -> None:
    received = b"".join(raw_exchange(simulator, "sim-cut-after-2", stream=True))
    assert received.count(b"data: {") == 3
    assert not received.endswith(b"0\r\n\r\n")


def test_an_error_frame_raises_its_message_after_the_chunks(client: openai.OpenAI) -> None:
    contents, error = streamed(client, "sim-error-frame-after-3")
    assert len(contents) == 3
    assert type(error) is openai.APIError
    assert "server had an error" in error.message


@pytest.mark.parametrize("model", ["sim-cut-before-headers", "sim-cut-body"])
def test_a_cut_json_answer_is_a_connection_error(client: openai.OpenAI, model: str) -> None:
    with pytest.raises(openai.APIConnectionError):
        client.chat.completions.create(model=model, messages=SAID)


def test_nothing_at_all_is_sent_when_the_cut_comes_before_the_headers(simulator: str) -> None:
    assert raw_exchange(simulator, "sim-cut-before-headers", stream=False) == []


def test_a_cut_body_is_shorter_than_it_promises(simulator: str) -> None:
    head, _, body = b"".join(raw_exchange(simulator, "sim-cut-body", stream=False)).partition(b"\r\n\r\n")
    promised = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    assert 0 < len(body) < promised


@pytest.mark.parametrize("model", ["sim-hang", "sim-hang-after-2"])
def test_a_hanging_answer_runs_into_the_clients_timeout(client: openai.OpenAI, model: str) -> None:
    with pytest.raises(openai.APITimeoutError):
        list(
            client.with_options(timeout=0.3).chat.completions.create(model=model, messages=SAID, stream=True)
        )


def test_garbage_is_not_json(simulator: str) -> None:
    answer = post(simulator, "sim-garbage")
    assert answer.status_code == 200
    assert answer.text.startswith("<html>")


def test_usage_can_be_missing_everywhere(simulator: str) -> None:
    assert "usage" not in post(simulator, "sim-no-usage").json()
    stream = post(simulator, "sim-no-usage", stream=True, stream_options={"include_usage": True})
    assert '"usage"' not in stream.text
    assert stream.text.endswith("data: [DONE]\n\n")


def test_usage_can_ride_on_the_finish_chunk(simulator: str) -> None:
    events = post(simulator, "sim-usage-last-chunk", stream=True).text.split("\n\n")
    last = msgspec.json.decode(events[-3].removeprefix("data: "))
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["usage"]["completion_tokens"] == 4


def test_a_stream_can_lack_done(simulator: str, client: openai.OpenAI) -> None:
    assert "[DONE]" not in post(simulator, "sim-no-done", stream=True).text
    assert streamed(client, "sim-no-done") == (["You", " said", ":", " hi"], None)


def test_line_ends_comments_and_spaces_can_differ(simulator: str, client: openai.OpenAI) -> None:
    crlf = post(simulator, "sim-crlf", stream=True).text
    assert crlf.endswith("data: [DONE]\r\n\r\n")
    assert "\n" not in crlf.replace("\r\n", "")
    assert post(simulator, "sim-comments", stream=True).text.startswith(": ping\n\ndata: {")
    assert post(simulator, "sim-no-space", stream=True).text.startswith("data:{")
    assert streamed(client, "sim-crlf+no-space") == (["You", " said", ":", " hi"], None)


@pytest.mark.parametrize("stream", [False, True])
def test_split_bytes_arrive_in_many_reads_and_add_up_to_the_same_text(
    simulator: str, client: openai.OpenAI, *, stream: bool
) -> None:
    reads = raw_exchange(simulator, "sim-split-utf8", stream=stream)
    # a chunk whose data ends in the first byte of a longer character
    assert any(len(read) > 3 and read[-3] >= 0xC0 and read.endswith(b"\r\n") for read in reads)
    contents, error = streamed(client, "sim-split-utf8")
    assert error is None
    assert "".join(contents) == "You said: hi 你好、世界 👋🏽 café"


def test_the_length_of_an_answer_can_be_asked_for(simulator: str, client: openai.OpenAI) -> None:
    assert post(simulator, "sim-tokens-37").json()["usage"]["completion_tokens"] == 37
    assert len(streamed(client, "sim-tokens-37")[0]) == 37
    assert len(streamed(client, "sim-chunks-64")[0]) == 64
    grouped = post(simulator, "sim-tokens-200+chunks-8", stream=True, stream_options={"include_usage": True})
    assert grouped.text.count('"content":" ') == 8
    assert '"completion_tokens":200,' in grouped.text


def test_slow_answers_take_their_time(simulator: str, client: openai.OpenAI) -> None:
    began = time.monotonic()
    post(simulator, "sim-slow-first-byte-200ms")
    assert 0.2 <= time.monotonic() - began < 2
    began = time.monotonic()
    streamed(client, "sim-tokens-5+slow-chunks-50ms")
    assert 0.2 <= time.monotonic() - began < 2
    began = time.monotonic()
    body = {"model": "sim-slow-first-chunk-300ms", "messages": SAID, "stream": True}
    with httpx.stream("POST", f"{simulator}/openai/v1/chat/completions", json=body, headers=KEY) as answer:
        headers_s = time.monotonic() - began
        answer.read()
    assert headers_s < 0.3
    assert time.monotonic() - began >= 0.3
