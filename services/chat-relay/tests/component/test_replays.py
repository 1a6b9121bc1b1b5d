"""Idempotency-Key."""

import asyncio
from typing import Any

import httpx
import pytest


async def post(relay: Any, key: str, body: dict[str, Any], **principal: Any) -> httpx.Response:
    headers = {**relay.headers(**principal), "idempotency-key": key}
    answer: httpx.Response = await relay.http.post("/v1/chat/completions", json=body, headers=headers)
    return answer


@pytest.mark.parametrize("stream", [False, True])
async def test_the_same_key_again_gets_the_first_answer_and_is_not_charged(
    relay: Any, *, stream: bool
) -> None:
    body = relay.chat(stream=stream)
    first = await post(relay, "key-1", body)
    second = await post(relay, "key-1", body)
    assert first.status_code == second.status_code == 200
    assert first.content == second.content
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert second.headers["content-type"] == first.headers["content-type"]
    third = await post(relay, "key-2", body)
    assert third.content != first.content
    await relay.billing.until(lambda: len(relay.billing.records) == 2)
    assert "idempotency-key" not in str(await relay.last_upstream_request())


async def test_a_key_belongs_to_its_spender_and_to_its_request(relay: Any) -> None:
    await post(relay, "key", relay.chat())
    answer = await post(relay, "key", relay.chat(text="other"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "idempotency_key_reused")
    answer = await post(relay, "key", relay.chat(text="other"), spender=relay.account)
    assert answer.status_code == 200
    assert "idempotent-replayed" not in answer.headers


async def test_a_second_request_waits_for_the_first(relay: Any, upstream: Any) -> None:
    upstream.json(b'{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}')
    upstream.release.clear()
    await relay.add_channel("scripted", base_url=upstream.url, priority=1)
    first = asyncio.create_task(post(relay, "key", relay.chat()))
    await relay.eventually(lambda: upstream.requests == 1)
    answer = await post(relay, "key", relay.chat())
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")
    assert answer.headers["retry-after"] == "1"
    upstream.release.set()
    assert (await first).status_code == 200
    assert upstream.requests == 1


async def test_a_failure_is_not_remembered(relay: Any) -> None:
    await relay.serve_model("sim-500+first-1+label-replay")
    assert (await post(relay, "key", relay.chat("sim-500+first-1+label-replay"))).status_code == 502
    answer = await post(relay, "key", relay.chat("sim-500+first-1+label-replay"))
    assert answer.status_code == 200
    assert "idempotent-replayed" not in answer.headers


async def test_an_interrupted_stream_is_not_remembered(relay: Any) -> None:
    model = "sim-cut-after-3+first-1+label-replay"
    await relay.serve_model(model)
    assert "upstream_gone" in (await post(relay, "key", relay.chat(model, stream=True))).text
    assert (await post(relay, "key", relay.chat(model, stream=True))).text.endswith("data: [DONE]\n\n")


async def test_an_answer_too_long_to_keep_is_not_made_twice(relay: Any, upstream: Any) -> None:
    text = b"x" * 1_000_000
    upstream.json(b'{"choices":[],"pad":"' + text + b'","usage":{"prompt_tokens":1,"completion_tokens":1}}')
    await relay.add_channel("scripted", base_url=upstream.url, priority=1)
    assert (await post(relay, "key", relay.chat())).status_code == 200
    answer = await post(relay, "key", relay.chat())
    assert answer.status_code == 409
    assert "too long" in answer.json()["error"]["message"]
    assert upstream.requests == 1


async def test_a_client_that_left_finds_its_json_answer(relay: Any, upstream: Any) -> None:
    upstream.json(b'{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}')
    upstream.release.clear()
    await relay.add_channel("scripted", base_url=upstream.url, priority=1)
    first = asyncio.create_task(post(relay, "key", relay.chat()))
    await relay.eventually(lambda: upstream.requests == 1)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    upstream.release.set()
    await relay.billing.record()
    answer = await post(relay, "key", relay.chat())
    while answer.status_code == 409:
        answer = await post(relay, "key", relay.chat())
    assert answer.headers["idempotent-replayed"] == "true"
    assert upstream.requests == 1


async def test_an_empty_key_is_refused(relay: Any) -> None:
    assert (await post(relay, "", relay.chat())).status_code == 400
