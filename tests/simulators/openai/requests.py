"""The request bodies, only the fields the simulator acts on; null stands for absent, as at the vendor."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from simulators.openai.errors import OpenAIError, invalid, raise_invalid_body
from simulators.text import count_tokens

Positive = Annotated[int, msgspec.Meta(ge=1)]
Choices = Annotated[int, msgspec.Meta(ge=1, le=128)]
Temperature = Annotated[float, msgspec.Meta(ge=0, le=2)]
Role = Literal["system", "developer", "user", "assistant", "tool", "function"]

IMAGE_TOKENS = 85
MESSAGE_TOKENS = 3
PRIMING_TOKENS = 3

BodyT = TypeVar("BodyT")


class Part(msgspec.Struct):
    """A part of a message's content; all but text counts as one image."""

    type: str
    text: str | None = None


class CalledFunction(msgspec.Struct):
    """Name and JSON-encoded arguments of a call the assistant made earlier."""

    name: str
    arguments: str


class ToolCall(msgspec.Struct):
    """A call in an earlier assistant message."""

    id: str
    function: CalledFunction


class ChatMessage(msgspec.Struct):
    """One message of the conversation."""

    role: Role
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None

    @property
    def text(self) -> str:
        """All text of the message."""
        if isinstance(self.content, list):
            return " ".join(part.text for part in self.content if part.text)
        return self.content or ""

    def tokens(self) -> int:
        """Three for the message, its text and name, its calls, and 85 for each part that is no text."""
        total = MESSAGE_TOKENS + count_tokens(self.text) + count_tokens(self.name or "")
        if isinstance(self.content, list):
            total += IMAGE_TOKENS * sum(part.type != "text" for part in self.content)
        for call in self.tool_calls or ():
            total += count_tokens(call.function.name) + count_tokens(call.function.arguments)
        return total


class StreamOptions(msgspec.Struct):
    """How a stream is to be dressed."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class Function(msgspec.Struct):
    """A function the model may call."""

    name: str
    parameters: dict[str, Any] | None = None


class Tool(msgspec.Struct):
    """A tool on offer."""

    type: str
    function: Function | None = None


class JsonSchema(msgspec.Struct):
    """The schema a structured answer must fit."""

    schema: dict[str, Any] | None = None


class ResponseFormat(msgspec.Struct):
    """text, json_object or json_schema."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class ChatRequest(msgspec.Struct):
    """The body of `POST /chat/completions`."""

    model: str
    messages: Annotated[list[ChatMessage], msgspec.Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Positive | None = None
    max_completion_tokens: Positive | None = None
    n: Choices | None = None
    temperature: Temperature | None = None
    tools: list[Tool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    response_format: ResponseFormat | None = None
    service_tier: str | None = None

    def prompt_tokens(self) -> int:
        """The messages, the tools as compact JSON, and three that prime the answer."""
        tools = msgspec.json.encode(self.tools).decode() if self.tools else ""
        return PRIMING_TOKENS + sum(message.tokens() for message in self.messages) + count_tokens(tools)

    @property
    def limit(self) -> int | None:
        """The most completion tokens of one choice."""
        limits = [n for n in (self.max_tokens, self.max_completion_tokens) if n is not None]
        return min(limits, default=None)


class CompletionRequest(msgspec.Struct):
    """The body of `POST /completions`; `prompt` as `input_texts` reads it."""

    model: str
    prompt: str | list[Any]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Positive | None = None
    n: Choices | None = None


class EmbeddingRequest(msgspec.Struct):
    """The body of `POST /embeddings`; `input` as `input_texts` reads it."""

    model: str
    input: str | list[Any]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Positive | None = None


def parse_body(body: bytes, kind: type[BodyT]) -> BodyT:
    """Decodes a request or raises the vendor's 400 that names the parameter."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise_invalid_body(error)


def input_texts(value: str | list[Any], param: str) -> list[tuple[str, int]]:
    """Each input with its tokens. `value`: text, texts, an array of token numbers, or many; at most 2048."""
    if isinstance(value, str) or (value and all(_is_token(item) for item in value)):
        value = [value]
    if not 1 <= len(value) <= 2048:
        raise _bad_input(param)
    return [_input_text(item, param) for item in value]


def _input_text(item: Any, param: str) -> tuple[str, int]:
    if isinstance(item, str) and item:
        return item, count_tokens(item)
    if isinstance(item, Sequence) and item and all(_is_token(token) for token in item):
        return " ".join(map(str, item)), len(item)
    raise _bad_input(param)


def _is_token(item: Any) -> bool:
    return isinstance(item, int) and not isinstance(item, bool)


def _bad_input(param: str) -> OpenAIError:
    return invalid(f"'$.{param}' is invalid. Please check the API reference.", param, "invalid_type")
