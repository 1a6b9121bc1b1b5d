"""People: who owns keys and an account."""

import re
from datetime import datetime
from typing import Literal

import msgspec

Role = Literal["admin", "user"]

_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,190}")


class User(msgspec.Struct, frozen=True):
    """A person; `account` owns the wallet and is never the same id as the user."""

    id: str
    account: str
    email: str
    role: Role
    group: str
    password_hash: str | None = None
    enabled: bool = True
    created_at: datetime | None = None


def normal_email(email: str) -> str:
    """The address as it is stored and compared: trimmed, lower case. ValueError when it is none."""
    text = email.strip().lower()
    if not _EMAIL.fullmatch(text):
        raise ValueError("not an e-mail address")
    return text
