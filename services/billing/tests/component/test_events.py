"""Replay: what was published is told again, the same, in order and without a gap."""

import json
from typing import Any

import httpx
import msgspec
import pytest

from common.kit.ids import uuid7

Billing = Any


async def replayed(billing: Billing, account: str, stream: str, **query: Any) -> httpx.Response:
    return await billing.http.get(
        "/events", params={"stream": stream, **query}, headers=billing.headers(account)
    )


async def published(billing: Billing, stream: str, count: int) -> list[tuple[dict[str, str], bytes]]:
    """Headers and bodies as JetStream has them."""
    subscription = await billing.bus.jetstream.subscribe(f"{stream}.>", ordered_consumer=True)
    found = []
    for _ in range(count):
        message = await subscription.next_msg(timeout=20)
        found.append((message.headers or {}, message.data))
    await subscription.unsubscribe()
    return found


class Told(msgspec.Struct):
    """An envelope, `data` untouched."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: str
    sequence: str
    datacontenttype: str
    data: msgspec.Raw


def same(told: Told, headers: dict[str, str], body: bytes) -> None:
    attributes = {name[3:]: value for name, value in headers.items() if name.startswith("ce-")}
    envelope = msgspec.structs.asdict(told)
    assert bytes(envelope.pop("data")) == body
    assert envelope.pop("datacontenttype") == headers["Content-Type"]
    assert envelope == attributes


async def test_billing_events_are_replayed_byte_for_byte(billing: Billing) -> None:
    account = await billing.funded("10")
    lease, spender = uuid7(), uuid7()
    await billing.request(account=account, lease=lease, spender=spender, wants_nano=10**6)
    await billing.close(lease, 1, 10**6)
    response = await replayed(billing, account, "billing")
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/cloudevents-batch+json"
    told = msgspec.json.decode(response.content, type=list[Told])
    assert [event.type for event in told] == [
        "billing.transfer.posted.v1",
        "billing.topup.completed.v1",
        "billing.transfer.posted.v1",
        "billing.transfer.posted.v1",
    ]
    assert response.headers["tollway-next"] == "4"
    for event, (headers, body) in zip(told, await published(billing, "billing", 4), strict=True):
        same(event, headers, body)
