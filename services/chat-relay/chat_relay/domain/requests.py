"""Request bodies: the few fields the relay reads, and the two rewrites it is allowed to make.

Everything else passes byte for byte. Bodies in which a field that decides the price appears twice are
refused: parsers differ on which one counts, so what is billed might not be what is served.
"""

import re
from collections.abc import Callable
from typing import Annotated, Literal

import msgspec

from chat_relay.domain import json_members
from common.contracts.errors import InvalidRequestError

Operation = Literal["chat", "embeddings"]

_USAGE_MEMBER = b'"stream_options":{"include_usage":true}'
_DECISIVE = ("model", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n")
_DECISIVE_TEXT = tuple(f'"{name}"'.encode() for name in _DECISIVE)
# A name may hide behind escapes of its letters (`mod\u0065l`); other escapes are of no interest.
_ESCAPED_LETTER = re.compile(rb"\\u00[4-7][0-9a-fA-F]")
_WHERE = re.compile(r" - at `\$\.?(.*)`$")
_FIELD = re.compile(r"field `(.*?)`")

Count = Annotated[int, msgspec.Meta(ge=1, le=2**31)]
ModelName = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class StreamOptions(msgspec.Struct, frozen=True, gc=False):
    """`stream_options` of a chat request."""

    include_usage: bool | None = None


class ChatBody(msgspec.Struct, frozen=True, gc=False):
    """What the relay reads of `POST /v1/chat/completions`."""

    model: ModelName
    messages: list[msgspec.Raw]
    stream: bool | None = None
    stream_options: StreamOptions | msgspec.UnsetType | None = msgspec.UNSET
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    n: Count | None = None


class EmbeddingsBody(msgspec.Struct, frozen=True, gc=False):
    """What the relay reads of `POST /v1/embeddings`."""

    model: ModelName
    input: msgspec.Raw


class RelayRequest(msgspec.Struct, frozen=True, gc=False):
    """One request as the rules see it. `output_limit` is per choice, None when the client set none."""

    operation: Operation
    model: str
    body: bytes
    stream: bool = False
    wants_usage: bool = False
    usage_options: Literal["absent", "present"] = "absent"
    output_limit: int | None = None
    choices: int = 1

    def upstream_body(self, upstream_model: str) -> bytes:
        """The client's bytes, with the model renamed and the usage chunk asked for where needed."""
        body = self.body
        if upstream_model != self.model:
            body = _with_model(body, upstream_model)
        if self.stream and not self.wants_usage:
            body = _with_usage(body, self.usage_options)
        return body


_CHAT = msgspec.json.Decoder(ChatBody)
_EMBEDDINGS = msgspec.json.Decoder(EmbeddingsBody)


def parse_chat(body: bytes) -> RelayRequest:
    """Raises InvalidRequestError with the field's path as `param`."""
    try:
        chat = _CHAT.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _invalid(error) from None
    _refuse_ambiguous(body)
    options = chat.stream_options
    limit = chat.max_tokens
    if chat.max_completion_tokens is not None:
        limit = chat.max_completion_tokens
    return RelayRequest(
        "chat",
        chat.model,
        body,
        bool(chat.stream),
        isinstance(options, StreamOptions) and bool(options.include_usage),
        "absent" if options is msgspec.UNSET else "present",
        limit,
        chat.n or 1,
    )


def parse_embeddings(body: bytes) -> RelayRequest:
    """Raises InvalidRequestError with the field's path as `param`."""
    try:
        embeddings = _EMBEDDINGS.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _invalid(error) from None
    _refuse_ambiguous(body)
    return RelayRequest("embeddings", embeddings.model, body)


PARSERS: dict[Operation, Callable[[bytes], RelayRequest]] = {
    "chat": parse_chat,
    "embeddings": parse_embeddings,
}


def _invalid(error: Exception) -> InvalidRequestError:
    text = str(error)
    if not isinstance(error, msgspec.ValidationError):
        return InvalidRequestError(f"The request body is not valid JSON: {text}.", code="invalid_json")
    where = _WHERE.search(text)
    path = where.group(1) if where else ""
    message = _WHERE.sub("", text)
    missing = _FIELD.search(message)
    if missing:
        path = f"{path}.{missing.group(1)}".lstrip(".")
        return InvalidRequestError(
            f"Missing required parameter: '{path}'.", param=path, code="missing_required_parameter"
        )
    return InvalidRequestError(f"Invalid value for '{path or 'the body'}': {message}.", param=path or None)


def _refuse_ambiguous(body: bytes) -> None:
    for text in _DECISIVE_TEXT:
        if body.count(text) > 1:
            break
    else:
        if b"\\u00" not in body or not _ESCAPED_LETTER.search(body):
            return
    seen = set()
    for member in json_members.members(body):
        if member.name in seen:
            raise InvalidRequestError(
                f"The field '{member.name}' appears more than once.",
                param=member.name,
                code="duplicate_field",
            )
        if member.name in _DECISIVE:
            seen.add(member.name)


def _member(body: bytes, name: str) -> json_members.Member:
    return next(member for member in json_members.members(body) if member.name == name)


def _with_model(body: bytes, upstream_model: str) -> bytes:
    return json_members.replace(body, _member(body, "model"), msgspec.json.encode(upstream_model))


def _with_usage(body: bytes, usage_options: str) -> bytes:
    if usage_options == "absent":
        return json_members.insert(body, _USAGE_MEMBER)
    options = _member(body, "stream_options")
    value = body[options.start : options.end]
    if value == b"null":
        return json_members.replace(body, options, b'{"include_usage":true}')
    given = [member for member in json_members.members(value) if member.name == "include_usage"]
    if given:
        return json_members.replace(body, options, json_members.replace(value, given[-1], b"true"))
    return json_members.replace(body, options, json_members.insert(value, b'"include_usage":true'))
