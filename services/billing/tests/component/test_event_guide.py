"""What docs/guides/events.md shows works as it stands there."""

import base64
import hashlib
import hmac
import json
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from common.kit.ids import uuid7
from common.webhooks.signatures import new_secret, signature

GUIDE = Path(__file__).parents[4] / "docs/guides/events.md"


def snippet(name: str) -> dict[str, Any]:
    """The names that the block which defines `name` leaves behind."""
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    code = next(block for block in blocks if f"def {name}(" in block)
    names: dict[str, Any] = {"httpx": httpx, "Apply": Any}
    exec(compile(code, str(GUIDE), "exec"), names)  # noqa: S102  our own guide
    return names


def test_the_shown_verification_agrees_with_the_reference_library() -> None:
    verify = snippet("verify")["verify"]
    secret, old = new_secret(), new_secret()
    body = b'{"type": "billing.topup.completed.v1"}'
    now = int(time.time())
    stamp = Webhook(secret.value)
    key = base64.b64decode(secret.value.removeprefix("whsec_"))
    digest = hmac.new(key, f"i.{now}.".encode() + body, hashlib.sha256).digest()
    signed = "v1," + base64.b64encode(digest).decode()
    headers = {"webhook-id": "i", "webhook-timestamp": str(now), "webhook-signature": f"v1,AAAA {signed}"}
    assert stamp.verify(body, headers) == json.loads(body)
    assert verify(secret.value, headers, body)
    assert not verify(old.value, headers, body)
    assert not verify(secret.value, headers, body + b" ")
    assert not verify(secret.value, headers | {"webhook-id": "j"}, body)
    assert not verify(secret.value, headers | {"webhook-timestamp": str(now - 301)}, body)
    assert not verify(secret.value, headers | {"webhook-timestamp": "soon"}, body)


@pytest.mark.parametrize("lost", [set(), {2, 3, 4}, {1, 5}, {1, 2, 3, 4, 5}])
async def test_the_shown_consumer_fills_what_it_missed_and_drops_what_it_has(
    billing: Any, lost: set[int]
) -> None:
    on_message = snippet("on_message")["on_message"]
    account, spender = uuid7(), uuid7()
    await billing.publish(*(billing.record(account, spender) for _ in range(6)))
    events = await billing.events("usage", 6)
    applied: list[int] = []

    async def apply(event: dict[str, Any]) -> None:
        applied.append(event["sequence"])

    billing.http.headers = billing.headers("admin", "admin")
    heads: dict[str, int] = {}
    arriving = [event for event in events if event["sequence"] not in lost]
    for event in [*arriving, *arriving]:
        await on_message(billing.http, heads, event, apply)
    assert applied == [1, 2, 3, 4, 5, 6]
    assert heads == {account: 6}


def test_what_is_signed_here_verifies_there() -> None:
    secret = new_secret()
    headers = signature("i", datetime.now(UTC), b"{}", [secret])
    assert snippet("verify")["verify"](secret.value, headers, b"{}")
