"""Change single members of a JSON object without touching any other byte.

A relay that decodes and encodes again changes numbers, key order, escapes and duplicates. These functions
find the bytes of a member's value and leave the rest as the client wrote it. The input must be valid JSON:
callers have decoded it before.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

_SPACE = re.compile(rb"[ \t\r\n]*")
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_SCALAR = re.compile(rb"[^,\]}\s]+")
_STRUCTURE = re.compile(rb'["{}\[\]]')
_OPENING = frozenset(b"{[")
_QUOTE = ord('"')


class Member(NamedTuple):
    """A top-level member: its decoded name and where the bytes of its value are."""

    name: str
    start: int
    end: int


def members(body: bytes) -> Iterator[Member]:
    """The top-level members of the object `body`, in order, repeated names included. Reads no further than
    it is asked to.
    """
    position = _after_space(body, _after_space(body, 0) + 1)
    while body[position] == _QUOTE:
        name_end = _string_end(body, position)
        name = _decoded(body[position:name_end])
        start = _after_space(body, _after_space(body, name_end) + 1)
        end = _value_end(body, start)
        yield Member(name, start, end)
        position = _after_space(body, end)
        if body[position] == ord(","):
            position = _after_space(body, position + 1)


def replace(body: bytes, member: Member, value: bytes) -> bytes:
    """`body` with the value of one member replaced by the JSON text `value`."""
    return body[: member.start] + value + body[member.end :]


def insert(body: bytes, member: bytes) -> bytes:
    """`body` with the JSON text `member` (`"name":value`) as its first member."""
    opening = body.index(b"{") + 1
    separator = b"" if body[_after_space(body, opening)] == ord("}") else b","
    return body[:opening] + member + separator + body[opening:]


def _decoded(text: bytes) -> str:
    try:
        return msgspec.json.decode(text, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""  # a lone surrogate or bytes that are no UTF-8: a name that nobody looks for


def _after_space(body: bytes, position: int) -> int:
    match = _SPACE.match(body, position)
    return match.end() if match else position


def _string_end(body: bytes, position: int) -> int:
    match = _STRING.match(body, position)
    if match is None:
        raise ValueError("not a JSON string")
    return match.end()


def _value_end(body: bytes, position: int) -> int:
    first = body[position]
    if first == _QUOTE:
        return _string_end(body, position)
    if first not in _OPENING:
        match = _SCALAR.match(body, position)
        if match is None:
            raise ValueError("not a JSON value")
        return match.end()
    depth = 0
    while True:
        match = _STRUCTURE.search(body, position)
        if match is None:
            raise ValueError("not a JSON value")
        mark = body[match.start()]
        if mark == _QUOTE:
            position = _string_end(body, match.start())
            continue
        position = match.end()
        depth += 1 if mark in _OPENING else -1
        if depth == 0:
            return position
