"""Management keys that people let apps hold: made once, replaced, and dead with the grant."""

import asyncio
import time
from typing import Any

import msgspec
import pytest

from common.contracts.errors import ServiceError
from common.contracts.identity import KEY_DELEGATE, KeyDelegate
from common.contracts.oauth import GrantRevoked
from common.kit.bus import Bus
from common.kit.ids import uuid7
from common.kit.rpc import RpcClient


@pytest.fixture
async def bus(suite: Any) -> Any:
    bus = await Bus.connect(suite.nats_url, "oauth")
    yield bus
    await bus.close()


async def _status(suite: Any, secret: str) -> int:
    answer = await suite.admin.get("/api/keys", headers={"authorization": f"Bearer {secret}"})
    status: int = answer.status_code
    return status


async def _until_dead(suite: Any, secret: str) -> float:
    started_s = time.monotonic()
    while await _status(suite, secret) != 401:
        assert time.monotonic() - started_s < 5, "the key still works"
        await asyncio.sleep(0.01)  # reason: the gateway is asked from outside, as a client would
    return time.monotonic() - started_s


async def test_a_key_is_made_once_replaced_and_ended(suite: Any, bus: Bus) -> None:
    user = (await suite.user())["id"]
    rpc = RpcClient(bus)

    async def ask(wish: Any, app: str = "cards") -> str:
        return (await rpc.call(KEY_DELEGATE, KeyDelegate(user, app, wish))).secret

    first = await ask("get")
    assert await _status(suite, first) == 200
    assert await ask("get") == "", "nobody can read a key again"
    other = await ask("get", "another-app")
    second = await ask("replace")
    assert await _status(suite, second) == 200
    assert await _until_dead(suite, first) < 1
    assert await ask("end") == ""
    assert await _until_dead(suite, second) < 1
    assert await _status(suite, other) == 200
    asked = await asyncio.gather(*(ask("get") for _ in range(10)))
    assert len([secret for secret in asked if secret]) == 1


async def test_a_key_dies_with_the_grant_of_its_app(suite: Any, bus: Bus) -> None:
    user = await suite.user()
    rpc = RpcClient(bus)
    mine, other = [
        (await rpc.call(KEY_DELEGATE, KeyDelegate(user["id"], app, "get"))).secret
        for app in ("cards", "music")
    ]
    for sequence in (1, 1):
        event = GrantRevoked(uuid7(), sequence, user["id"], user["account"], uuid7(), "cards", "user")
        subject = f"oauth.grant.revoked.v1.{user['id']}"
        await bus.publish(subject, msgspec.json.encode(event), {"Nats-Msg-Id": event.id})
    assert await _until_dead(suite, mine) < 1
    assert await _status(suite, other) == 200


@pytest.mark.parametrize("user", ["nobody", "", "0198c0de-0000-7000-8000-000000000000"])
async def test_nobodys_key_is_not_made(suite: Any, bus: Bus, user: str) -> None:
    with pytest.raises(ServiceError) as refused:
        await RpcClient(bus).call(KEY_DELEGATE, KeyDelegate(user, "cards", "get"))
    assert refused.value.error_code == "not_found"
