"""Answers that are cut, by either side: the defined rule, on the record, and never a truncated success."""

import asyncio
import json
from decimal import Decimal
from typing import Any

import httpx
import openai
import pytest

from e2e.suite import RunningSuite, eventually
from e2e.test_real_clients import MESSAGES, cost_usd


def body(model: str, **fields: object) -> dict[str, Any]:
    return {"model": model, "messages": MESSAGES, **fields}


def test_a_client_that_leaves_mid_stream_pays_for_what_it_got(suite: RunningSuite) -> None:
    person = suite.person()
    with openai.OpenAI(base_url=suite.base_url, api_key=person.key) as client:
        stream = client.chat.completions.create(
            model="sim-tokens-200+slow-chunks-10ms", messages=MESSAGES, stream=True
        )
        for count, _ in enumerate(stream):
            if count == 20:
                break
        stream.close()
    (record,) = suite.wait_usage(person, 1)
    assert record["outcome"] == "client_gone"
    assert record["partial"]
    assert record["estimated"]
    assert 0 < record["quantities"]["output"] < 150
    assert suite.wait_released(person) == Decimal(10) - Decimal(record["cost"])


def test_a_client_that_leaves_before_the_first_byte_of_a_stream(suite: RunningSuite) -> None:
    person = suite.person()
    with (
        httpx.Client(timeout=0.5, headers={"authorization": f"Bearer {person.key}"}) as client,
        pytest.raises(httpx.ReadTimeout),
    ):
        client.post(f"{suite.base_url}/chat/completions", json=body("sim-slow-first-byte-2s", stream=True))
    (record,) = suite.wait_usage(person, 1)
    assert record["outcome"] == "client_gone"
    assert record["quantities"].get("output", 0) == 0
    assert suite.wait_released(person) == Decimal(10) - Decimal(record["cost"])


def test_a_client_that_leaves_a_json_call_is_charged_exactly_what_the_upstream_did(
    suite: RunningSuite,
) -> None:
    person = suite.person()
    with (
        httpx.Client(timeout=0.5, headers={"authorization": f"Bearer {person.key}"}) as client,
        pytest.raises(httpx.ReadTimeout),
    ):
        client.post(f"{suite.base_url}/chat/completions", json=body("sim-slow-first-byte-1s"))
    (record,) = suite.wait_usage(person, 1)
    assert record["outcome"] == "client_gone"
    assert not record["estimated"]
    quantities = record["quantities"]
    assert Decimal(record["cost"]) == cost_usd(quantities["input"], 0, quantities["output"])


@pytest.mark.parametrize("model", ["sim-cut-after-5", "sim-error-frame-after-3"])
def test_an_upstream_that_dies_mid_stream_is_never_a_success(suite: RunningSuite, model: str) -> None:
    person = suite.person()
    received: list[object] = []
    with (
        openai.OpenAI(base_url=suite.base_url, api_key=person.key, max_retries=0) as client,
        pytest.raises(openai.APIError),
    ):
        received.extend(client.chat.completions.create(model=model, messages=MESSAGES, stream=True))
    assert received
    (record,) = suite.wait_usage(person, 1)
    assert record["outcome"] in {"upstream_gone", "upstream_error"}
    assert record["partial"]
    assert record["quantities"]["output"] <= 10


def test_the_raw_stream_of_a_dead_upstream_ends_with_an_error_and_without_done(suite: RunningSuite) -> None:
    person = suite.person()
    answer = httpx.post(
        f"{suite.base_url}/chat/completions",
        json=body("sim-cut-after-5", stream=True),
        headers={"authorization": f"Bearer {person.key}"},
    )
    frames = [line for line in answer.text.split("\n\n") if line]
    assert "[DONE]" not in answer.text
    assert "error" in json.loads(frames[-1].removeprefix("data: "))
    assert all("error" not in json.loads(frame.removeprefix("data: ")) for frame in frames[:-1])


def test_a_cut_json_body_is_an_error_and_free(suite: RunningSuite) -> None:
    person = suite.person()
    answer = httpx.post(
        f"{suite.base_url}/chat/completions",
        json=body("sim-cut-body"),
        headers={"authorization": f"Bearer {person.key}"},
    )
    assert answer.status_code == 502
    assert suite.wait_released(person) == Decimal(10)


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_without_usage_is_estimated_and_says_so(suite: RunningSuite, stream: bool) -> None:  # noqa: FBT001
    person = suite.person()
    answer = httpx.post(
        f"{suite.base_url}/chat/completions",
        json=body("sim-no-usage", stream=stream),
        headers={"authorization": f"Bearer {person.key}"},
    )
    assert answer.status_code == 200
    (record,) = suite.wait_usage(person, 1)
    assert record["estimated"]
    assert not record["partial"]
    assert record["outcome"] == "ok"
    assert 4 <= record["quantities"]["output"] <= 40


def test_a_stream_without_done_is_passed_as_it_is(suite: RunningSuite) -> None:
    person = suite.person()
    with openai.OpenAI(base_url=suite.base_url, api_key=person.key) as client:
        chunks = list(client.chat.completions.create(model="sim-no-done", messages=MESSAGES, stream=True))
    assert chunks[-1].choices[0].finish_reason == "stop"
    (record,) = suite.wait_usage(person, 1)
    assert record["outcome"] == "ok"


@pytest.mark.parametrize(("count", "slow_s", "stream"), [(1000, 25, False), (100, 8, True)])
async def test_of_all_parallel_requests_on_a_balance_for_10_exactly_10_are_served(
    suite: RunningSuite,
    count: int,
    slow_s: int,
    stream: bool,  # noqa: FBT001
) -> None:
    """The ten are answered only after all others have asked."""
    person = suite.person(balance="0")
    request = body(f"sim-slow-first-byte-{slow_s}s", stream=stream, max_tokens=10_000)
    headers = {"authorization": f"Bearer {person.key}"}
    async with httpx.AsyncClient(
        timeout=90, headers=headers, limits=httpx.Limits(max_connections=None)
    ) as client:
        refused = await client.post(f"{suite.base_url}/chat/completions", json=request)
        assert refused.status_code == 402
        # 10,000 output tokens cost 0.006; the input of a request costs far less than 0.0003.
        await asyncio.to_thread(suite.top_up, person, "0.063")
        answers = await asyncio.gather(
            *(client.post(f"{suite.base_url}/chat/completions", json=request) for _ in range(count))
        )
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200] * 10 + [402] * (count - 10), [
        answer.text[-300:] for answer in answers if answer.status_code == 200
    ]
    await asyncio.to_thread(suite.wait_usage, person, 10)
    balance = await asyncio.to_thread(suite.wait_released, person)
    spent = sum(Decimal(record["cost"]) for record in suite.usage(person))
    assert balance == Decimal("0.063") - spent


def test_the_last_cents_are_spendable_by_a_lone_stream(suite: RunningSuite) -> None:
    person = suite.person(balance="0.0001")
    answer = httpx.post(
        f"{suite.base_url}/chat/completions",
        json=body("sim-tokens-200+slow-chunks-10ms", stream=True),
        headers={"authorization": f"Bearer {person.key}"},
        timeout=30,
    )
    assert answer.status_code == 200
    last = json.loads([line for line in answer.text.split("\n\n") if line][-1].removeprefix("data: "))
    assert last["error"]["code"] == "insufficient_quota"
    assert "[DONE]" not in answer.text
    (record,) = suite.wait_usage(person, 1)
    assert record["outcome"] == "quota_exhausted"
    assert Decimal(record["cost"]) > 0
    balance = suite.wait_released(person)
    assert 0 <= balance < Decimal("0.0001")


def test_a_key_budget_binds_whatever_the_wallet_holds(suite: RunningSuite) -> None:
    person = suite.person(budget_usd="0.0001", budget_period="total")
    request = body("gpt-4o-mini", max_tokens=100)
    headers = {"authorization": f"Bearer {person.key}"}

    def refused() -> httpx.Response | None:
        answer = httpx.post(f"{suite.base_url}/chat/completions", json=request, headers=headers)
        return answer if answer.status_code != 200 else None

    answer = eventually(refused)
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "budget_exceeded"
    suite.wait_released(person)
    spent = sum(Decimal(record["cost"]) for record in suite.usage(person))
    assert 0 < spent <= Decimal("0.0001")
