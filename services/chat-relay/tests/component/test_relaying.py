"""What passes, what is rewritten, what is refused."""

import base64
import json
import time
from typing import Any

import httpx
import msgspec
import pytest

from common.contracts.principals import Limits


def sent_body(seen: dict[str, Any]) -> bytes:
    return base64.b64decode(seen["body_base64"])


async def post_bytes(relay: Any, body: bytes, **headers: str) -> httpx.Response:
    answer: httpx.Response = await relay.http.post(
        "/v1/chat/completions", content=body, headers={**relay.headers(), **headers}
    )
    return answer


async def test_a_json_request_passes_byte_for_byte_both_ways(relay: Any) -> None:
    body = b'{ "model" : "gpt-4o-mini",\n"messages":[{"role":"user","content":"h\\u00e9 \xe4\xb8\xad"}],'
    body += b'"x":1.50e2}'
    answer = await post_bytes(relay, body)
    assert answer.status_code == 200
    seen = await relay.last_upstream_request()
    assert sent_body(seen) == body
    record = await relay.billing.record()
    usage = answer.json()["usage"]
    assert record.quantities == {"input": usage["prompt_tokens"], "output": usage["completion_tokens"]}
    assert record.cost_nano == (usage["prompt_tokens"] * 150 + usage["completion_tokens"] * 600)
    assert record.request_id == answer.headers["x-request-id"]


async def test_a_mapped_model_is_the_only_difference(relay: Any) -> None:
    await relay.put_prices("gpt-big")
    await relay.add_channel("mapped", models=["gpt-big"], model_map={"gpt-big": "gpt-4o-mini"})
    body = b'{"messages":[{"role":"user","content":"gpt-big"}], "model":  "gpt-big" ,'
    body += b'"metadata":{"model":"gpt-big"}}'
    await post_bytes(relay, body)
    seen = await relay.last_upstream_request()
    assert sent_body(seen) == body.replace(b'  "gpt-big" ', b'  "gpt-4o-mini" ')


async def test_a_stream_asks_for_usage_and_keeps_it_from_a_client_that_did_not(relay: Any) -> None:
    answer = await relay.post(relay.chat(stream=True))
    chunks = [json.loads(line[6:]) for line in answer.text.split("\n\n") if line.startswith("data: {")]
    assert all(chunk["choices"] for chunk in chunks)
    assert answer.text.endswith("data: [DONE]\n\n")
    seen = json.loads(sent_body(await relay.last_upstream_request()))
    assert seen["stream_options"] == {"include_usage": True}
    assert (await relay.billing.record()).estimated is False


async def test_a_client_that_asked_for_usage_gets_the_upstreams_bytes(relay: Any) -> None:
    body = relay.chat(stream=True, stream_options={"include_usage": True})
    answer = await relay.post(body)
    chunks = [json.loads(line[6:]) for line in answer.text.split("\n\n") if line.startswith("data: {")]
    assert chunks[-1]["choices"] == []
    usage = chunks[-1]["usage"]
    record = await relay.billing.record()
    assert record.quantities == {"input": usage["prompt_tokens"], "output": usage["completion_tokens"]}
    assert json.loads(sent_body(await relay.last_upstream_request())) == body


async def test_unknown_headers_pass_and_credentials_do_not(relay: Any) -> None:
    await post_bytes(
        relay,
        msgspec.json.encode(relay.chat()),
        **{
            "OpenAI-Beta": "assistants=v2",
            "x-stainless-lang": "python",
            "authorization": "Bearer sk-client",
            "x-api-key": "sk-client",
            "cookie": "a=b",
            "x-forwarded-for": "10.0.0.1",
            "openai-organization": "org-client",
            "idempotency-key-x": "kept",
        },
    )
    seen = {name.lower(): value for name, value in (await relay.last_upstream_request())["headers"]}
    assert seen["openai-beta"] == "assistants=v2"
    assert seen["x-stainless-lang"] == "python"
    assert seen["authorization"] == "Bearer sk-sim-0123456789"
    assert seen["accept-encoding"] == "identity"
    assert "sk-client" not in str(seen)
    assert not {"cookie", "x-forwarded-for", "openai-organization", "x-tollway-principal"} & set(seen)


async def test_embeddings_are_charged_by_their_input(relay: Any) -> None:
    answer = await relay.post(
        {"model": "text-embedding-3-small", "input": ["hi", "there"], "encoding_format": "base64"},
        "/embeddings",
    )
    assert answer.status_code == 200
    record = await relay.billing.record()
    assert record.operation == "embeddings"
    assert record.quantities == {"input": answer.json()["usage"]["prompt_tokens"]}


async def test_cached_tokens_cost_what_the_price_says(relay: Any) -> None:
    await relay.serve_model("sim-cached-5")
    await relay.post(relay.chat("sim-cached-5", "one two three four five six"))
    record = await relay.billing.record()
    assert record.quantities["cached_input"] == 5
    assert record.unit_pico["cached_input"] == 75_000


async def test_the_groups_rate_multiplies_the_cost(relay: Any) -> None:
    headers = relay.headers(rate_micro=1_500_000)
    await relay.http.post("/v1/chat/completions", json=relay.chat(), headers=headers)
    record = await relay.billing.record()
    assert record.cost_nano == (record.quantities["input"] * 150 + record.quantities["output"] * 600) * 3 // 2


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        (b'{"model": "gpt-4o-mini", "messages": [', None, "invalid_json"),
        (b"", None, "invalid_json"),
        (b"[]", None, "invalid_request"),
        (b'{"messages": []}', "model", "missing_required_parameter"),
        (b'{"model": 3, "messages": []}', "model", "invalid_request"),
        (b'{"model": "gpt-4o-mini", "messages": "hi"}', "messages", "invalid_request"),
        (b'{"model": "gpt-4o-mini", "messages": [], "max_tokens": "9"}', "max_tokens", "invalid_request"),
        (b'{"model": "gpt-4o-mini", "messages": [], "n": -1}', "n", "invalid_request"),
        (
            b'{"model": "gpt-4o-mini", "messages": [], "stream_options": {"include_usage": 1}}',
            "stream_options.include_usage",
            "invalid_request",
        ),
        (b'{"model": "gpt-4o-mini", "messages": [], "model": "x"}', "model", "duplicate_field"),
        (b'{"model": "gpt-4o-mini", "messages": [], "mod\\u0065l": "x"}', "model", "duplicate_field"),
    ],
)
async def test_a_malformed_body_is_refused_with_the_fields_path(
    relay: Any, body: bytes, param: str | None, code: str
) -> None:
    answer = await post_bytes(relay, body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["param"], error["code"], error["type"]) == (param, code, "invalid_request_error")
    assert not relay.billing.requests


async def test_a_body_of_20_mb_is_refused_and_one_of_8_passes(relay: Any) -> None:
    text = "a" * 20_000_000
    answer = await relay.post(relay.chat(text=text))
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")
    answer = await relay.post(relay.chat(text=text[:8_000_000]))
    assert answer.status_code == 200


async def test_unknown_unpriced_and_blocked_models_are_refused(relay: Any) -> None:
    await relay.add_channel("unpriced", models=["unpriced"])
    for model in ("nobody", "unpriced"):
        answer = await relay.post(relay.chat(model))
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    answer = await relay.http.post(
        "/v1/chat/completions", json=relay.chat(), headers=relay.headers(models=("claude-*",))
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "model_not_allowed")
    answer = await relay.http.post(
        "/v1/chat/completions", json=relay.chat(), headers=relay.headers(group="strangers")
    )
    assert answer.status_code == 404


async def test_nothing_is_accepted_without_a_valid_principal(relay: Any) -> None:
    good = relay.headers()["x-tollway-principal"]
    expired = relay.headers(expires_at_s=int(time.time()) - 1)["x-tollway-principal"]
    for value in (None, "", "k1.AAAA.BBBB", good[:-2] + "AA", "\xff", expired):
        headers = {} if value is None else {"x-tollway-principal": value.encode("latin-1")}
        for method, path in (
            ("POST", "/v1/chat/completions"),
            ("GET", "/v1/models"),
            ("GET", "/api/channels"),
        ):
            answer = await relay.http.request(method, path, headers=headers)
            assert answer.status_code == 401, (value, path)


async def test_wrong_methods_and_paths_are_told_in_openai_shape(relay: Any) -> None:
    answer = await relay.http.get("/v1/chat/completions", headers=relay.headers())
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")
    answer = await relay.http.post("/v1/models", headers=relay.headers())
    assert answer.status_code == 405
    answer = await relay.http.get("/v1/v1/models", headers=relay.headers())
    assert answer.status_code == 404


async def test_models_are_those_the_caller_can_use_in_the_shape_it_reads(relay: Any) -> None:
    await relay.add_channel("more", models=["unpriced", "gpt-4o-mini"])
    answer = await relay.http.get("/v1/models", headers=relay.headers())
    assert [model["id"] for model in answer.json()["data"]] == ["gpt-4o-mini", "text-embedding-3-small"]
    headers = {**relay.headers(models=("gpt-*",)), "anthropic-version": "2023-06-01"}
    document = (await relay.http.get("/models", headers=headers)).json()
    assert (document["first_id"], document["has_more"]) == ("gpt-4o-mini", False)
    one = await relay.http.get("/v1/models/gpt-4o-mini", headers=relay.headers())
    assert one.json()["object"] == "model"
    missing = await relay.http.get("/v1/models/unpriced", headers=relay.headers())
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")


async def test_tokens_per_minute_are_limited_here(relay: Any) -> None:
    headers = {"headers": relay.headers(limits=Limits(tpm=60))}
    body = relay.chat(text="word " * 20)
    assert (await relay.http.post("/v1/chat/completions", json=body, **headers)).status_code == 200
    answer = await relay.http.post("/v1/chat/completions", json=body, **headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert 1 <= int(answer.headers["retry-after"]) <= 60
