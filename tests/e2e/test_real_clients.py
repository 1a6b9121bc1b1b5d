"""Unmodified clients over a real socket: their usage is the usage record's and the ledger's, to the nano."""

import json
import subprocess
import urllib.request
from decimal import Decimal
from fractions import Fraction
from typing import Any

import openai
import pytest
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from e2e.suite import PRICE, Person, RunningSuite

MESSAGES: list[Any] = [{"role": "user", "content": "Say hello to everyone who keeps the books."}]


def cost_usd(prompt: int, cached: int, completion: int, rate: Fraction = Fraction(1)) -> Decimal:
    """What the tokens cost, by the list price of the tests, rounded half to even at the nano."""
    pico = (prompt - cached) * PRICE["input"] + cached * PRICE["cached_input"] + completion * PRICE["output"]
    return Decimal(round(pico * rate / 1000)) / 10**9


def assert_books(suite: RunningSuite, person: Person, prompt: int, cached: int, completion: int) -> None:
    """One usage record with these counts, and the wallet poorer by exactly its cost."""
    (record,) = suite.wait_usage(person, 1)
    expected = cost_usd(prompt, cached, completion)
    assert record["quantities"].get("input", 0) == prompt - cached
    assert record["quantities"].get("output", 0) == completion
    assert Decimal(record["cost"]) == expected
    assert not record["estimated"]
    assert not record["partial"]
    assert suite.wait_released(person) == Decimal(10) - expected


def test_openai_sync_json(suite: RunningSuite) -> None:
    person = suite.person()
    with openai.OpenAI(base_url=suite.base_url, api_key=person.key) as client:
        answer = client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    assert "Say hello" in (answer.choices[0].message.content or "")
    assert answer.usage is not None
    assert_books(suite, person, answer.usage.prompt_tokens, 0, answer.usage.completion_tokens)


def test_cached_input_is_billed_at_its_own_price(suite: RunningSuite) -> None:
    person = suite.person()
    with openai.OpenAI(base_url=suite.base_url, api_key=person.key) as client:
        answer = client.chat.completions.create(model="sim-cached-5", messages=MESSAGES)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 5
    assert_books(suite, person, answer.usage.prompt_tokens, 5, answer.usage.completion_tokens)


def test_group_rate_multiplies_the_list_price(suite: RunningSuite) -> None:
    person = suite.person(group="discount")
    with openai.OpenAI(base_url=suite.base_url, api_key=person.key) as client:
        answer = client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    assert answer.usage is not None
    (record,) = suite.wait_usage(person, 1)
    usage = answer.usage
    expected = cost_usd(usage.prompt_tokens, 0, usage.completion_tokens, Fraction(1, 2))
    assert Decimal(record["cost"]) == expected


async def test_openai_async_stream_with_usage(suite: RunningSuite) -> None:
    person = suite.person()
    async with openai.AsyncOpenAI(base_url=suite.base_url, api_key=person.key) as client:
        stream = await client.chat.completions.create(
            model="sim-chunks-64", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    usage = chunks[-1].usage
    assert usage is not None
    assert chunks[-1].choices == []
    assert_books(suite, person, usage.prompt_tokens, 0, usage.completion_tokens)


def test_a_stream_that_did_not_ask_for_usage_gets_none_and_is_billed_by_it(suite: RunningSuite) -> None:
    person = suite.person()
    with openai.OpenAI(base_url=suite.base_url, api_key=person.key) as client:
        chunks = list(client.chat.completions.create(model="sim-chunks-64", messages=MESSAGES, stream=True))
    assert all(chunk.usage is None for chunk in chunks)
    assert all(chunk.choices for chunk in chunks)
    (record,) = suite.wait_usage(person, 1)
    assert record["quantities"]["output"] == 64
    assert not record["estimated"]


def test_openai_stream_helper(suite: RunningSuite) -> None:
    person = suite.person()
    with (
        openai.OpenAI(base_url=suite.base_url, api_key=person.key) as client,
        client.chat.completions.stream(
            model="gpt-4o-mini", messages=MESSAGES, stream_options={"include_usage": True}
        ) as stream,
    ):
        final = stream.get_final_completion()
    assert final.usage is not None
    assert "Say hello" in (final.choices[0].message.content or "")
    assert_books(suite, person, final.usage.prompt_tokens, 0, final.usage.completion_tokens)


def test_langchain_streams_with_usage(suite: RunningSuite) -> None:
    person = suite.person()
    model = ChatOpenAI(
        base_url=suite.base_url, api_key=SecretStr(person.key), model="gpt-4o-mini", stream_usage=True
    )
    total = None
    for chunk in model.stream("Say hello to everyone who keeps the books."):
        total = chunk if total is None else total + chunk
    assert total is not None
    metadata = total.usage_metadata
    assert metadata is not None
    assert_books(suite, person, metadata["input_tokens"], 0, metadata["output_tokens"])


def test_raw_curl(suite: RunningSuite) -> None:
    person = suite.person()
    body = json.dumps({"model": "gpt-4o-mini", "messages": MESSAGES})
    command = ["curl", "-sS", "--fail-with-body", f"{suite.base_url}/chat/completions"]
    command += [
        "-H",
        f"Authorization: Bearer {person.key}",
        "-H",
        "Content-Type: application/json",
        "-d",
        body,
    ]
    answer = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=30).stdout)
    usage = answer["usage"]
    assert_books(suite, person, usage["prompt_tokens"], 0, usage["completion_tokens"])


@pytest.mark.parametrize("model", ["sim-unicode+split-utf8", "sim-crlf", "sim-chunks-64"])
def test_a_strict_line_reader_understands_every_line(suite: RunningSuite, model: str) -> None:
    person = suite.person()
    body = json.dumps({"model": model, "messages": MESSAGES, "stream": True}).encode()
    headers = {"Authorization": f"Bearer {person.key}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{suite.base_url}/chat/completions", body, headers)  # noqa: S310
    text = ""
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line.decode() for line in answer]
    assert lines[-2].strip() == "data: [DONE]"
    for line in lines[:-2]:
        if line.strip():
            frame = json.loads(line.removeprefix("data: "))
            text += frame["choices"][0]["delta"].get("content") or ""
    assert text
    (record,) = suite.wait_usage(person, 1)
    assert not record["estimated"]


def test_embeddings_and_models(suite: RunningSuite) -> None:
    person = suite.person()
    with openai.OpenAI(base_url=suite.base_url, api_key=person.key) as client:
        answer = client.embeddings.create(model="text-embedding-3-small", input=["one", "two words"])
        names = {model.id for model in client.models.list()}
        assert client.models.retrieve("gpt-4o-mini").id == "gpt-4o-mini"
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("no-such-model")
    assert len(answer.data) == 2
    assert len(answer.data[0].embedding) == 1536
    assert {"gpt-4o-mini", "text-embedding-3-small"} <= names
    (record,) = suite.wait_usage(person, 1)
    assert record["quantities"] == {"input": answer.usage.prompt_tokens}
    assert Decimal(record["cost"]) == Decimal(answer.usage.prompt_tokens * 20) / 10**9


def test_base_urls_that_people_paste(suite: RunningSuite) -> None:
    person = suite.person()
    with openai.OpenAI(base_url=suite.url, api_key=person.key) as client:
        assert client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES).choices
    with (
        openai.OpenAI(base_url=f"{suite.base_url}/v1", api_key=person.key) as client,
        pytest.raises(openai.NotFoundError, match="twice"),
    ):
        client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
