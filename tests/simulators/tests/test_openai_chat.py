"""Chat and legacy completions as openai-python, unmodified, sees them over a real socket."""

from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionUserMessageParam
from pydantic import BaseModel

from simulators.text import count_tokens


@pytest.fixture
def client(simulator: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{simulator}/openai/v1", api_key="sk-any", max_retries=0) as made:
        yield made


def said(text: str) -> list[ChatCompletionUserMessageParam]:
    return [{"role": "user", "content": text}]


def test_an_answer_echoes_the_last_message_and_counts_it(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="gpt-4o-mini", messages=said("hello 中文 🙂"))
    assert answer.choices[0].message.content == "You said: hello 中文 🙂"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.id.startswith("chatcmpl-")
    assert answer.model == "gpt-4o-mini-2024-07-18"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 3 + 3 + count_tokens("hello 中文 🙂")
    assert answer.usage.completion_tokens == count_tokens("You said: hello 中文 🙂")
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_the_vendor_headers_are_there(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="gpt-4o", messages=said("x"))
    assert raw.headers["x-request-id"].startswith("req_")
    assert int(raw.headers["openai-processing-ms"]) >= 1
    assert raw.headers["openai-version"] == "2020-10-01"
    limits = {name for name in raw.headers if name.startswith("x-ratelimit-")}
    assert len(limits) == 6


def test_a_stream_has_a_role_then_content_then_finish_and_usage_only_when_asked(
    client: openai.OpenAI,
) -> None:
    plain = list(client.chat.completions.create(model="gpt-4o-mini", messages=said("hi"), stream=True))
    assert plain[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].delta.content for c in plain[1:-1]] == ["You", " said", ":", " hi"]
    assert plain[-1].choices[0].finish_reason == "stop"
    assert all("usage" not in chunk.model_fields_set for chunk in plain)

    options: Any = {"include_usage": True}
    asked = list(
        client.chat.completions.create(
            model="gpt-4o-mini", messages=said("hi"), stream=True, stream_options=options
        )
    )
    assert all("usage" in chunk.model_fields_set and chunk.usage is None for chunk in asked[:-1])
    assert asked[-1].choices == []
    assert asked[-1].usage is not None
    assert asked[-1].usage.completion_tokens == 4


def test_the_stream_helper_of_the_client_assembles_the_same_answer(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="gpt-4o-mini", messages=said("hi there")) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.content == "You said: hi there"


def test_the_bytes_of_a_stream_are_plain_data_events_and_done(simulator: str) -> None:
    body = {"model": "gpt-4o-mini", "stream": True, "messages": said("hi")}
    answer = httpx.post(f"{simulator}/openai/v1/chat/completions", json=body, headers=KEY)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    events = answer.text.split("\n\n")
    assert events.pop() == ""
    assert events[-1] == "data: [DONE]"
    assert all(event.startswith("data: {") and "\n" not in event for event in events[:-1])


KEY = {"authorization": "Bearer sk-any"}


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_token_limit_ends_the_answer_with_length(client: openai.OpenAI, name: str) -> None:
    limit: Any = {name: 2}
    answer = client.chat.completions.create(model="gpt-4o-mini", messages=said("hi"), **limit)
    assert answer.choices[0].message.content == "You said"
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 2


def test_each_of_n_choices_is_counted(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="gpt-4o-mini", messages=said("hi"), n=3)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 12


def test_cached_and_reasoning_tokens_are_reported(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="sim-cached-5+reasoning-7+tokens-3", messages=said("a b c"))
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.completion_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 5
    assert answer.usage.completion_tokens_details.reasoning_tokens == 7
    assert answer.usage.completion_tokens == 10


TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
                "required": ["city", "days"],
            },
        },
    }
]


def test_a_tool_is_called_when_the_message_names_it(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="gpt-4o", messages=said("weather in Bern"), tools=TOOLS)
    assert answer.choices[0].finish_reason == "tool_calls"
    calls: Any = answer.choices[0].message.tool_calls
    assert calls[0].function.name == "weather"
    assert calls[0].function.arguments == '{"city":"weather in Bern","days":1}'
    silent = client.chat.completions.create(model="gpt-4o", messages=said("good day"), tools=TOOLS)
    assert silent.choices[0].finish_reason == "stop"


def test_a_streamed_tool_call_assembles_to_the_same_arguments(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="gpt-4o", messages=said("use a tool"), tools=TOOLS) as stream:
        final: Any = stream.get_final_completion()
    assert final.choices[0].message.tool_calls[0].function.arguments == '{"city":"use a tool","days":1}'


def test_a_tool_result_is_answered_with_text(client: openai.OpenAI) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    messages: Any = [
        *said("weather"),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "weather: sunny"},
    ]
    answer = client.chat.completions.create(model="gpt-4o", messages=messages, tools=TOOLS)
    assert answer.choices[0].message.content == "You said: weather: sunny"


class City(BaseModel):
    name: str
    people: int


def test_structured_answers_are_json_that_fits(client: openai.OpenAI) -> None:
    free = client.chat.completions.create(
        model="gpt-4o", messages=said("hi"), response_format={"type": "json_object"}
    )
    assert free.choices[0].message.content == '{"answer":"hi"}'
    parsed = client.chat.completions.parse(model="gpt-4o", messages=said("Bern"), response_format=City)
    assert parsed.choices[0].message.parsed == City(name="Bern", people=1)


def test_legacy_completions_answer_and_stream(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="gpt-3.5-turbo-instruct", prompt="hi")
    assert answer.object == "text_completion"
    assert answer.choices[0].text == "You said: hi"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (1, 4)
    chunks = list(client.completions.create(model="gpt-3.5-turbo-instruct", prompt="hi", stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == "You said: hi"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b"{}", "model"),
        (b'{"model":"m"}', "messages"),
        (b'{"model":"m","messages":[]}', "messages"),
        (b'{"model":"m","messages":"hi"}', "messages"),
        (b'{"model":"m","messages":[{"role":"boss","content":"x"}]}', "messages[0].role"),
        (b'{"model":"m","messages":[{"role":"user","content":1}]}', "messages[0].content"),
        (b'{"model":"m","messages":[{"role":"user","content":"x"}],"max_tokens":0}', "max_tokens"),
        (b'{"model":"m","messages":[{"role":"user","content":"x"}],"stream":"yes"}', "stream"),
    ],
)
def test_a_bad_body_is_refused_in_the_vendors_shape(simulator: str, body: bytes, param: str | None) -> None:
    answer = httpx.post(f"{simulator}/openai/v1/chat/completions", content=body, headers=KEY)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["param"]) == ("invalid_request_error", param)


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Basic abc", "Bearer sk-bad"])
def test_a_request_without_a_good_key_is_refused(simulator: str, authorization: str | None) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    answer = httpx.post(f"{simulator}/openai/v1/chat/completions", content=b"{", headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "invalid_request_error"


async def test_the_async_client_streams_too(simulator: str) -> None:
    async with openai.AsyncOpenAI(base_url=f"{simulator}/openai/v1", api_key="sk-any") as client:
        stream = await client.chat.completions.create(model="gpt-4o", messages=said("hi"), stream=True)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert text == "You said: hi"
