"""Token counts when the upstream gives none. Rough on purpose, and marked `estimated` wherever they are used.

The estimator: four ASCII characters are a token, two of other alphabets are one, and a Chinese, Japanese or
Korean character or an emoji is one; 4 tokens for each message, 800 for each image of a conversation.
"""

import re
from typing import Any

import msgspec

MESSAGE_TOKENS = 4
IMAGE_TOKENS = 800
IMAGE_BOUND_TOKENS = 6_000
"""The most that one image costs at the vendors known (high detail, 2026); used for holds."""

_WIDE = re.compile("[\u2e80-\U0010ffff]")
_MIXED = (b'"input_audio"', b'"image_url"', b'"file_id"', b'"file_data"', b'"ttl"')
_IMAGE = re.compile(rb'"image_url"\s*:')
_INLINE_IMAGE = re.compile(rb"data:image/[\w.+-]+;base64,[A-Za-z0-9+/=\\]*")


def text_tokens(text: str) -> int:
    """Tokens of `text`, rounded up."""
    length = len(text)
    if text.isascii():
        return (length + 3) // 4
    wide = len(_WIDE.findall(text))
    plain = len(text.encode("ascii", "ignore"))
    return wide + (length - wide - plain + 1) // 2 + (plain + 3) // 4


def input_bound(body: bytes, context_window: int | None) -> int:
    """More input tokens than `body` can have: a token is at least one byte. An inline image counts as
    `IMAGE_BOUND_TOKENS` instead of its base64, an image by address likewise; the model's window caps it all.
    """
    tokens = len(body)
    if b'"image_url"' in body:
        tokens += IMAGE_BOUND_TOKENS * len(_IMAGE.findall(body))
        tokens -= sum(len(found) for found in _INLINE_IMAGE.findall(body))
    if context_window is not None and b'"file_id"' in body:
        return context_window  # a file that the upstream keeps: its length is not in the body
    return tokens if context_window is None else min(tokens, context_window)


def is_plain_text(body: bytes) -> bool:
    """Whether no audio, image or file can be in it, nor text that is to be cached for an hour (`ttl`)."""
    return not any(mark in body for mark in _MIXED)


def input_tokens(body: bytes) -> int:
    """An estimate for a request body that was decoded before; walks all of it, so only for the rare cases."""
    try:
        decoded = msgspec.json.decode(body, type=_Conversation)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return (len(body) + 3) // 4
    tokens = sum(MESSAGE_TOKENS + _content_tokens(message) for message in decoded.messages)
    tokens += len(msgspec.json.encode(decoded.tools)) // 4 if decoded.tools else 0
    return tokens + _content_tokens(decoded.input)


class _Conversation(msgspec.Struct):
    messages: list[Any] = []
    tools: Any = None
    input: Any = None


def _content_tokens(value: Any) -> int:
    if isinstance(value, str):
        return text_tokens(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return 1
    if isinstance(value, list):
        return sum(_content_tokens(item) for item in value)
    if isinstance(value, dict):
        if "image_url" in value:
            return IMAGE_TOKENS
        return sum(_content_tokens(item) for key, item in value.items() if key not in {"role", "type", "id"})
    return 0


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(msgspec.Struct):
    function: _Function | None = None


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None

    def text(self) -> str:
        parts = [self.content, self.reasoning_content, self.refusal]
        for call in self.tool_calls or ():
            if call.function is not None:
                parts += [call.function.name, call.function.arguments]
        return "".join(part for part in parts if part)


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    message: _Delta | None = None


class _Answer(msgspec.Struct):
    choices: list[_Choice] = []

    def text(self) -> str:
        said = [choice.delta or choice.message for choice in self.choices]
        return "".join(delta.text() for delta in said if delta is not None)


_ANSWER = msgspec.json.Decoder(_Answer)


def answer_tokens(answer: bytes) -> int:
    """Estimated output tokens of a whole JSON answer (0 for one that has no choices)."""
    return text_tokens(_said(answer))


def frame_text(frame: bytes) -> tuple[str, int]:
    """The text of one `data: {…}` frame of a stream, and how many bytes of the frame it takes."""
    text = _said(frame.partition(b":")[2].strip())
    if not text:
        return "", 0
    if b"\\u" in frame and not text.isascii():
        return text, len(text.encode("ascii", "backslashreplace"))
    return text, len(msgspec.json.encode(text)) - 2


def _said(answer: bytes) -> str:
    try:
        return _ANSWER.decode(answer).text()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
