"""Redemption codes: made, read, kept only as keyed hashes.

A code is 22 random characters and 2 that check them, in groups of four: `K7QM-2X9D-…`. The alphabet is
Crockford's base 32 (no I, L, O, U), so a code has 110 random bits; its first group is shown in lists, which
leaves 90 to guess. Reading forgives case, blanks, hyphens, and O for 0, I and L for 1.
"""

import hashlib
import hmac
import secrets
from datetime import datetime, timedelta

import msgspec

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
MAX_BATCH = 1000
GUESSES = 20
"""Wrong codes an account may try in GUESS_WINDOW; then it waits for the window's end."""
GUESS_WINDOW = timedelta(minutes=10)
_RANDOM, _CHECK = 22, 2
_GROUP = 4
_FORGIVEN = str.maketrans("OIL", "011", "- \t")


class Batch(msgspec.Struct, frozen=True):
    """Codes made together, each worth `amount_nano` of balance."""

    id: str
    name: str
    amount_nano: int
    size: int
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    redeemed: int = 0
    position: int = 0


class Code(msgspec.Struct, frozen=True):
    """A code as lists show it."""

    prefix: str
    batch: str
    account: str | None
    redemption: str | None
    redeemed_at: datetime | None
    position: int = 0


class Claim(msgspec.Struct, frozen=True):
    """A code that `account` won, to be credited by the operation `redemption`."""

    hash: bytes
    account: str
    redemption: str
    amount_nano: int
    batch: str


class Found(msgspec.Struct, frozen=True):
    """Why a code was not won: what it is now."""

    redemption: str | None
    is_over: bool


def new_code() -> str:
    """A fresh code in its readable form."""
    body = "".join(secrets.choice(ALPHABET) for _ in range(_RANDOM))
    text = body + _check_of(body)
    return "-".join(text[start : start + _GROUP] for start in range(0, len(text), _GROUP))


def prefix_of(code: str) -> str:
    """What lists show of a code."""
    return code[:_GROUP]


def read_code(text: str) -> str | None:
    """The code's characters without hyphens; None when it was mistyped."""
    code = text.upper().translate(_FORGIVEN)
    if len(code) != _RANDOM + _CHECK or any(character not in ALPHABET for character in code):
        return None
    body, check = code[:_RANDOM], code[_RANDOM:]
    return code if check == _check_of(body) else None


def hash_of(code: str, pepper: str) -> bytes:
    """HMAC-SHA256 of the code's characters, hyphens or not."""
    return hmac.digest(pepper.encode(), code.replace("-", "").encode(), hashlib.sha256)


def _check_of(body: str) -> str:
    """Ten bits of SHA-256: two mistyped characters in a thousand codes pass, and are then merely unknown."""
    number = int.from_bytes(hashlib.sha256(body.encode()).digest()[:2], "big")
    return ALPHABET[number >> 11] + ALPHABET[number >> 6 & 31]
