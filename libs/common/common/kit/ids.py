"""UUIDv7 (RFC 9562 section 5.7): time-ordered ids, so that newest rows sit together in an index."""

import os
import re
import time
import uuid

_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{7,127}")

_TAIL_BITS = 74
_random = bytearray()
_last = [0]  # milliseconds, and 74 bits below them

NAMESPACE = uuid.UUID("7b0f6a52-3c0b-5d0e-9b6e-6f3a54b0c1aa")


def uuid7() -> str:
    """A fresh UUIDv7 as lower-case text. Those of one process rise strictly, even when its clock steps back:
    74 random bits each millisecond, counted up within it (RFC 9562 section 6.2, method 2).
    """
    last = _last[0] + 1
    now = time.time_ns() // 1_000_000 << _TAIL_BITS
    if now >= last:
        if not _random:
            _random.extend(os.urandom(4000))  # one system call for many ids
        last = now | int.from_bytes(_random[-10:], "big") >> 6
        del _random[-10:]
    _last[0] = last
    value = (last >> 74 << 80) | (7 << 76) | ((last >> 62 & 0xFFF) << 64) | (2 << 62) | (last & (1 << 62) - 1)
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def named_id(*parts: str) -> str:
    """The same UUID for the same words: ids of things that must be created once (RFC 9562 version 5)."""
    return str(uuid.uuid5(NAMESPACE, "\x1f".join(parts)))


def is_request_id(text: str) -> bool:
    """Whether a client's `x-request-id` is a sane token: 8 to 128 of letters, digits, `._:-`."""
    return _REQUEST_ID.fullmatch(text) is not None
