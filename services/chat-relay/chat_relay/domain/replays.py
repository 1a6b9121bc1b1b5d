"""Idempotency-Key: what is remembered of the first request with a key, and what a second one gets."""

import hashlib
from typing import Literal

import msgspec

from common.contracts.errors import ConflictError, InvalidRequestError

MAX_BODY_BYTES = 960 * 1024
"""Answers over this are not kept: a message of the broker is 1 MiB by default."""
MAX_KEY_LENGTH = 255
BUSY_S = 900
"""A first request that neither ended nor was forgotten within this time died with its replica."""

State = Literal["busy", "done", "large"]


class Remembered(msgspec.Struct, frozen=True):
    """The first request (`digest` of its operation and body) and, when it is done, its whole answer."""

    digest: bytes
    began_at_s: int
    state: State = "busy"
    status: int = 0
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""


class KeyReusedError(ConflictError):
    """The key came before with another request."""

    code = "idempotency_key_reused"
    status = 422


def name_of(spender: str, key: bytes) -> str:
    """The name under which a spender's key is remembered. Raises InvalidRequestError for an unusable key."""
    if not 1 <= len(key) <= MAX_KEY_LENGTH:
        raise InvalidRequestError(f"An Idempotency-Key has 1 to {MAX_KEY_LENGTH} characters.")
    return hashlib.sha256(spender.encode() + b"\x1f" + key).hexdigest()


def digest_of(operation: str, body: bytes) -> bytes:
    """What makes two requests the same."""
    return hashlib.sha256(operation.encode() + b"\x1f" + body).digest()


def check_repeat(first: Remembered, digest: bytes, now_s: int) -> bool:
    """True when the first request's answer is there to be sent again, False when the first died and this one
    may take its place; ConflictError otherwise.
    """
    if first.digest != digest:
        raise KeyReusedError("This Idempotency-Key was used with another request.")
    if first.state == "done":
        return True
    if first.state == "large":
        raise ConflictError(
            "The request with this Idempotency-Key was answered and charged; its answer was too long to be "
            "kept. Use a new key to ask again."
        )
    if now_s - first.began_at_s < BUSY_S:
        raise ConflictError("The request with this Idempotency-Key is still under way.", retry_after_s=1)
    return False
