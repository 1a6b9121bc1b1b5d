"""Every way a request can be interrupted, what the client sees, and the one record it leaves."""

import asyncio
import json
from typing import Any

import pytest

from common.contracts.usage import UsageRecord

CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"word "},"finish_reason":null}]}\n\n'
END = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":11,"completion_tokens":7}}\n\n'
DONE = b"data: [DONE]\n\n"


def frames(text: str) -> list[str]:
    return [line.removeprefix("data: ") for line in text.split("\n\n") if line]


def error_of(text: str) -> dict[str, Any]:
    """The error of the last frame, which must be the end: no [DONE]."""
    error: dict[str, Any] = json.loads(frames(text)[-1])["error"]
    return error


async def stream_from(relay: Any, upstream: Any, *events: bytes) -> tuple[str, UsageRecord]:
    upstream.stream(*events)
    await relay.add_channel("scripted", base_url=upstream.url, priority=1)
    answer = await relay.post(relay.chat(stream=True))
    assert answer.status_code == 200
    return answer.text, await relay.billing.record()


async def test_an_upstream_cut_in_mid_stream_ends_in_an_error_frame_and_charges_what_was_delivered(
    relay: Any,
) -> None:
    await relay.serve_model("sim-cut-after-20")
    answer = await relay.post(relay.chat("sim-cut-after-20", stream=True))
    assert error_of(answer.text)["code"] == "upstream_gone"
    assert "[DONE]" not in answer.text
    record = await relay.billing.record()
    assert (record.outcome, record.partial, record.estimated, record.streamed) == (
        "upstream_gone",
        True,
        True,
        True,
    )
    assert 10 <= record.quantities["output"] <= 35
    assert record.cost_nano > 0


async def test_an_upstream_error_frame_passes_and_nothing_follows_it(relay: Any) -> None:
    await relay.serve_model("sim-error-frame-after-3")
    answer = await relay.post(relay.chat("sim-error-frame-after-3", stream=True))
    assert error_of(answer.text)["type"] == "server_error"
    assert (await relay.billing.record()).outcome == "upstream_gone"


async def test_a_silent_upstream_ends_in_an_error_frame(start_relay: Any) -> None:
    relay = await start_relay(upstream_read_timeout_s=0.3)
    await relay.serve_model("sim-hang-after-2")
    answer = await relay.post(relay.chat("sim-hang-after-2", stream=True))
    assert error_of(answer.text)["code"] == "upstream_timeout"
    assert (await relay.billing.record()).outcome == "upstream_gone"


async def test_garbage_in_mid_stream_ends_in_an_error_frame(relay: Any, upstream: Any) -> None:
    text, record = await stream_from(relay, upstream, CHUNK * 4, b"data: <html>oops\n\n", CHUNK)
    assert error_of(text)["code"] == "upstream_gone"
    assert len(frames(text)) == 5
    assert record.outcome == "upstream_gone"


async def test_a_stream_that_closes_in_mid_answer_is_not_taken_for_complete(
    relay: Any, upstream: Any
) -> None:
    text, record = await stream_from(relay, upstream, CHUNK, CHUNK)
    assert error_of(text)["code"] == "upstream_gone"
    assert record.outcome == "upstream_gone"


async def test_a_last_frame_that_is_cut_is_not_delivered(relay: Any, upstream: Any) -> None:
    text, record = await stream_from(relay, upstream, CHUNK, b'data: {"choices":[{"delta":{"content":"x"}}')
    assert frames(text)[:1] == frames(CHUNK.decode())
    assert len(frames(text)) == 2
    assert record.outcome == "upstream_gone"


@pytest.mark.parametrize(
    ("events", "estimated"),
    [
        ((CHUNK, END), True),
        ((CHUNK, END, USAGE), False),
        ((CHUNK, END, DONE), True),
        ((CHUNK, END, USAGE, b"data: [DONE]"), False),
        ((CHUNK[:30], CHUNK[30:-1], b"\n", END, USAGE + DONE), False),
    ],
    ids=["finish reason", "usage", "done without usage", "done without blank line", "split frames"],
)
async def test_a_stream_that_reached_its_end_is_complete(
    relay: Any, upstream: Any, events: tuple[bytes, ...], *, estimated: bool
) -> None:
    text, record = await stream_from(relay, upstream, *events)
    assert "error" not in text
    assert (record.outcome, record.partial, record.estimated) == ("ok", False, estimated)
    if not estimated:
        assert record.quantities == {"input": 11, "output": 7}


async def test_comments_ids_event_names_and_empty_events_never_reach_the_client(
    relay: Any, upstream: Any
) -> None:
    noise = b": ping\n\nid: 1\nevent: x\n\ndata:\n\n\n"
    bare = b'data:{"choices":[{"index":0,"delta":{"content":"y"}}]}\n\n'
    text, _ = await stream_from(relay, upstream, noise, CHUNK, b"id: 7\n" + CHUNK, bare, noise, END, DONE)
    assert text.encode() == CHUNK + CHUNK + bare.replace(b"data:{", b"data: {") + END + DONE


@pytest.mark.parametrize("model", ["sim-crlf+unicode", "sim-split-utf8+unicode", "sim-comments+no-space"])
async def test_any_framing_of_the_upstream_arrives_readable(relay: Any, model: str) -> None:
    await relay.serve_model(model)
    answer = await relay.post(relay.chat(model, "hi", stream=True))
    payloads = [frame.removeprefix("data: ") for frame in answer.text.replace("\r", "").split("\n\n")]
    said = [json.loads(payload) for payload in payloads if payload.startswith("{")]
    text = "".join(choice["delta"].get("content") or "" for chunk in said for choice in chunk["choices"])
    assert text.startswith("You said: hi")
    assert "�" not in text
    assert answer.text.replace("\r", "").endswith("data: [DONE]\n\n")
    record = await relay.billing.record()
    assert (record.outcome, record.estimated) == ("ok", False)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_without_usage_is_estimated_and_says_so(relay: Any, *, stream: bool) -> None:
    await relay.serve_model("sim-no-usage+tokens-200")
    answer = await relay.post(relay.chat("sim-no-usage+tokens-200", "hello " * 100, stream=stream))
    assert answer.status_code == 200
    record = await relay.billing.record()
    assert (record.outcome, record.estimated, record.partial) == ("ok", True, False)
    assert 100 <= record.quantities["input"] <= 200
    assert 120 <= record.quantities["output"] <= 400


async def test_a_client_that_leaves_in_mid_stream_cancels_the_upstream_and_pays_for_what_it_got(
    relay: Any, upstream: Any
) -> None:
    upstream.stream(*[CHUNK] * 10)
    upstream.stay = True
    await relay.add_channel("scripted", base_url=upstream.url, priority=1)
    reader, writer = await relay.open(relay.chat(stream=True))
    for _ in range(10):
        await reader.readuntil(b"null}]}\n\n")
    writer.close()
    async with asyncio.timeout(3):
        await upstream.left.wait()
    record = await relay.billing.record()
    assert (record.outcome, record.status, record.partial, record.estimated) == (
        "client_gone",
        200,
        True,
        True,
    )
    assert 8 <= record.quantities["output"] <= 20
    assert record.quantities["input"] > 0


async def test_a_client_that_leaves_before_the_first_byte_of_a_stream_pays_for_its_input(
    relay: Any, upstream: Any
) -> None:
    upstream.stay = True
    await relay.add_channel("scripted", base_url=upstream.url, priority=1)
    _, writer = await relay.open(relay.chat(text="hello " * 50, stream=True))
    await relay.eventually(lambda: upstream.requests == 1)
    writer.close()
    record = await relay.billing.record()
    assert (record.outcome, record.status, record.partial) == ("client_gone", 499, True)
    assert "output" not in record.quantities
    assert record.quantities["input"] >= 50
    assert upstream.left.is_set()


async def test_a_client_that_leaves_a_json_call_is_charged_exactly(relay: Any) -> None:
    await relay.serve_model("sim-slow-first-byte-300ms")
    _, writer = await relay.open(relay.chat("sim-slow-first-byte-300ms", "hello there"))
    await writer.drain()
    await asyncio.sleep(0.1)  # reason: the upstream has the request and has not answered
    writer.close()
    record = await relay.billing.record()
    assert (record.outcome, record.status, record.estimated) == ("client_gone", 200, False)
    assert record.quantities == {"input": 8, "output": 5}


@pytest.mark.parametrize(
    ("model", "status", "code"),
    [
        ("sim-500", 502, "upstream_error"),
        ("sim-503", 503, "upstream_error"),
        ("sim-401", 502, "upstream_auth_error"),
        ("sim-403", 502, "upstream_auth_error"),
        ("sim-cut-before-headers", 502, "upstream_gone"),
        ("sim-cut-body", 502, "upstream_gone"),
        ("sim-garbage", 502, "upstream_gone"),
    ],
)
async def test_an_upstream_failure_costs_nothing_and_is_told_in_openai_shape(
    relay: Any, model: str, status: int, code: str
) -> None:
    await relay.serve_model(model)
    answer = await relay.post(relay.chat(model))
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == code
    assert answer.headers["x-should-retry"] == "true"
    record = await relay.billing.record()
    assert (record.outcome, record.status, record.cost_nano) == ("upstream_error", status, 0)


async def test_an_upstream_that_never_answers_is_a_timeout(start_relay: Any) -> None:
    relay = await start_relay(upstream_first_byte_timeout_s=0.3)
    await relay.serve_model("sim-hang")
    answer = await relay.post(relay.chat("sim-hang"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "upstream_timeout")
    assert (await relay.billing.record()).cost_nano == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_upstream_refusals_pass_as_they_are(relay: Any, *, stream: bool) -> None:
    await relay.serve_model("sim-400")
    answer = await relay.post(relay.chat("sim-400", stream=stream))
    assert answer.status_code == 400
    assert answer.json() == {
        "error": {
            "message": "We could not process this request.",
            "type": "invalid_request_error",
            "param": None,
            "code": "invalid_value",
        }
    }
    record = await relay.billing.record()
    assert (record.outcome, record.status, record.cost_nano) == ("upstream_error", 400, 0)


async def test_too_many_requests_at_the_upstream_passes_with_its_retry_after(relay: Any) -> None:
    await relay.serve_model("sim-429")
    answer = await relay.post(relay.chat("sim-429"))
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    assert answer.json()["error"]["code"] == "rate_limit_exceeded"


@pytest.mark.parametrize("fault", ["500", "429", "401", "cut-before-headers", "cut-body", "garbage"])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_failing_channel_gives_way_to_the_next(relay: Any, fault: str, *, stream: bool) -> None:
    if fault == "cut-body" and stream:
        pytest.skip("a stream has no body length to be cut at")
    await relay.put_prices("gpt-x")
    await relay.add_channel("bad", models=["gpt-x"], model_map={"gpt-x": f"sim-{fault}"}, priority=9)
    await relay.add_channel("good", models=["gpt-x"], model_map={"gpt-x": "gpt-4o-mini"})
    answer = await relay.post(relay.chat("gpt-x", stream=stream))
    assert answer.status_code == 200
    record = await relay.billing.record()
    assert (record.outcome, record.channel, record.upstream_model) == ("ok", "good", "gpt-4o-mini")


async def test_an_unreachable_channel_gives_way_to_the_next_and_alone_it_is_an_error(relay: Any) -> None:
    await relay.add_channel("dead", base_url="http://127.0.0.1:9/v1", priority=9)
    assert (await relay.post(relay.chat())).status_code == 200
    await relay.http.delete("/api/channels/sim", headers=relay.admin())
    answer = await relay.post(relay.chat())
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_error")
