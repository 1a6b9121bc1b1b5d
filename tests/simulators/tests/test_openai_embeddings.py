"""Embeddings and models as openai-python sees them."""

import math
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

MODEL = "text-embedding-3-small"
KEY = {"authorization": "Bearer sk-any"}


@pytest.fixture
def client(simulator: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{simulator}/openai/v1", api_key="sk-any", max_retries=0) as made:
        yield made


def test_both_encodings_carry_the_same_unit_vector(client: openai.OpenAI, simulator: str) -> None:
    # the client itself asks for base64 and decodes it
    decoded = client.embeddings.create(model=MODEL, input="hello world")
    plain = client.embeddings.create(model=MODEL, input="hello world", encoding_format="float")
    assert decoded.data[0].embedding == plain.data[0].embedding
    assert len(plain.data[0].embedding) == 1536
    assert math.isclose(math.hypot(*plain.data[0].embedding), 1, rel_tol=1e-5)
    assert (plain.usage.prompt_tokens, plain.usage.total_tokens) == (2, 2)
    body = {"model": MODEL, "input": "hello world", "encoding_format": "base64"}
    raw = httpx.post(f"{simulator}/openai/v1/embeddings", json=body, headers=KEY).json()
    assert isinstance(raw["data"][0]["embedding"], str)


@pytest.mark.parametrize(
    ("given", "vectors", "tokens"),
    [("a b c", 1, 3), (["a", "b c"], 2, 3), ([1, 2, 3, 4], 1, 4), ([[1, 2], [3]], 2, 3)],
)
def test_every_form_of_input_is_counted(client: openai.OpenAI, given: Any, vectors: int, tokens: int) -> None:
    answer = client.embeddings.create(model=MODEL, input=given)
    assert [item.index for item in answer.data] == list(range(vectors))
    assert answer.usage.prompt_tokens == tokens


def test_dimensions_are_honoured_and_limited(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model="text-embedding-3-large", input="x", dimensions=256)
    assert len(answer.data[0].embedding) == 256
    with pytest.raises(openai.BadRequestError):
        client.embeddings.create(model=MODEL, input="x", dimensions=1537)


@pytest.mark.parametrize("given", ["", [], [""], [1, "a"], [True], [None], {"a": 1}])
def test_a_bad_input_is_refused(client: openai.OpenAI, given: Any) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model=MODEL, input=given)
    assert caught.value.param == "input"


def test_faults_apply_to_embeddings(client: openai.OpenAI) -> None:
    with pytest.raises(openai.RateLimitError):
        client.embeddings.create(model="sim-429", input="x")


def test_models_are_listed_and_found(client: openai.OpenAI) -> None:
    assert MODEL in [model.id for model in client.models.list()]
    assert client.models.retrieve("gpt-4o-mini").id == "gpt-4o-mini"
    assert client.models.retrieve("sim-tokens-5+crlf").id == "sim-tokens-5+crlf"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-0")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/chat/completions", 405), ("DELETE", "/models", 405), ("POST", "/nowhere", 404)],
)
def test_wrong_methods_and_paths_are_the_vendors_errors(
    simulator: str, method: str, path: str, status: int
) -> None:
    answer = httpx.request(method, f"{simulator}/openai/v1{path}", headers=KEY)
    assert answer.status_code == status
    assert answer.json()["error"]["type"] == "invalid_request_error"
