"""Deterministic text and the token counter that every figure of the simulators is derived from.

A token is one run of ASCII letters, digits and underscores, or any other single character that is not white
space (each CJK character, each code point of an emoji); white space belongs to the token after it. Hence
`count_tokens("".join(pieces(t))) == len(pieces(t))`, and an answer streamed one piece a chunk has exactly as
many completion tokens as chunks.
"""

import re
from itertools import cycle, islice, pairwise
from typing import Any

TOKEN = re.compile(r"\s*(?:[A-Za-z0-9_]+|[^\sA-Za-z0-9_])")

# Joined in any order and number these stay separate tokens: each opens with a space.
WORDS = (" alpha", " bravo", " charlie", " 中", " delta", " echo", " é", " foxtrot", " 🙂", " golf")

UNICODE_TAIL = " 你好、世界 👋🏽 café"

ECHO_LIMIT_TOKENS = 256


def count_tokens(text: str) -> int:
    """Tokens in `text` by the rule of this module; trailing white space counts nothing."""
    return sum(1 for _ in TOKEN.finditer(text))


def pieces(text: str) -> list[str]:
    """`text` cut into its tokens, in order; only trailing white space is lost."""
    return TOKEN.findall(text)


def filler(count: int) -> list[str]:
    """Exactly `count` tokens, some of them of two to four bytes."""
    return list(islice(cycle(WORDS), count))


def echo(text: str) -> list[str]:
    """The ordinary answer: `You said: ` and the first 256 tokens of what was said."""
    said = [match.group() for match in islice(TOKEN.finditer(text.strip()), ECHO_LIMIT_TOKENS)]
    return pieces("You said: " + "".join(said))


def grouped(tokens: list[str], count: int) -> list[list[str]]:
    """`tokens` spread evenly over `count` groups (fewer when there are fewer tokens), order kept."""
    count = max(1, min(count, len(tokens)))
    bounds = [len(tokens) * i // count for i in range(count + 1)]
    return [tokens[start:end] for start, end in pairwise(bounds)]


def sample(schema: Any, text: str) -> Any:
    """A value that fits the common part of JSON Schema: required properties only, strings are `text`."""
    if not isinstance(schema, dict):
        return text
    if schema.get("enum"):
        return schema["enum"][0]
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if kind == "object":
        properties: dict[str, Any] = schema.get("properties") or {}
        names: list[str] = schema.get("required") or list(properties)
        return {name: sample(properties.get(name), text) for name in names}
    if kind == "array":
        return [sample(schema.get("items"), text)]
    plain: dict[str, Any] = {"integer": 1, "number": 1.5, "boolean": True, "null": None}
    return plain.get(kind, text)
