"""/api/keys: made, shown once, changed, revoked; never another tenant's, never in plain text."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import msgspec
import nats
import pytest

from common.contracts.identity import IdentityEvent
from common.contracts.principals import Budget

MODELS = "/v1/models"


async def _until(condition: Callable[[], Awaitable[bool]], within_s: float) -> float:
    started_s = time.monotonic()
    while not await condition():
        assert time.monotonic() - started_s < within_s, "it did not happen in time"
        await asyncio.sleep(0.01)  # reason: the other replica is asked from outside, as a client would
    return time.monotonic() - started_s


async def test_a_key_works_once_made_and_its_secret_is_shown_only_then(suite: Any) -> None:
    key = await suite.key()
    assert key["secret"].startswith("sk-")
    assert len(key["secret"]) == 51
    assert key["prefix"] == key["secret"][:10]
    assert (await suite.admin.get(MODELS, headers=key["headers"])).status_code == 200
    listed = (await suite.admin.get("/api/keys")).json()["data"]
    assert [entry["id"] for entry in listed] == [key["id"]]
    assert "secret" not in listed[0]


async def test_no_column_of_the_database_holds_a_key_or_password_in_plain_text(suite: Any) -> None:
    await suite.user("bob@example.com", password="correct horse battery")
    chosen = "sk-chosen-by-the-operator-0123456789"
    secrets = [(await suite.key())["secret"], (await suite.key(name="two", secret=chosen))["secret"]]
    assert secrets[1] == chosen
    tables = await suite.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    dump = ""
    for table in tables:
        for row in await suite.rows(f"TABLE {table['tablename']}"):
            for value in row.values():
                dump += value.decode("latin-1") if isinstance(value, bytes) else str(value)
    assert "ann@example.com" in dump
    for secret in (*secrets, suite.admin_key, "correct horse battery"):
        assert secret not in dump
        assert secret[len(secret) // 2 :] not in dump


async def test_a_revoked_key_is_refused_by_a_second_replica_within_a_second(suite: Any) -> None:
    other = await suite.start()
    key = await suite.key()
    assert (await other.get(MODELS, headers=key["headers"])).status_code == 200

    async def denied() -> bool:
        answer = await other.get(MODELS, headers=key["headers"])
        return bool(answer.status_code == 401)

    assert (await suite.admin.delete(f"/api/keys/{key['id']}")).status_code == 204
    await _until(denied, 1)
    assert (await suite.admin.get(MODELS, headers=key["headers"])).status_code == 401


async def test_keys_of_a_disabled_user_are_refused_by_a_second_replica_within_a_second(suite: Any) -> None:
    other = await suite.start()
    key = await suite.key()
    assert (await other.get(MODELS, headers=key["headers"])).status_code == 200

    async def denied() -> bool:
        answer = await other.get(MODELS, headers=key["headers"])
        return bool(answer.status_code == 401)

    changed = await suite.admin.patch(f"/api/users/{key['user']}", json={"enabled": False})
    assert changed.json()["enabled"] is False
    await _until(denied, 1)


async def test_a_key_unknown_a_moment_ago_works_on_a_second_replica_within_a_second(suite: Any) -> None:
    other = await suite.start()
    secret = "sk-made-after-it-was-tried-0123456789"
    headers = {"authorization": f"Bearer {secret}"}
    assert (await other.get(MODELS, headers=headers)).status_code == 401

    async def accepted() -> bool:
        return bool((await other.get(MODELS, headers=headers)).status_code == 200)

    await suite.key(secret=secret)
    await _until(accepted, 1)


async def test_a_changed_group_rate_reaches_the_principal_on_a_second_replica(suite: Any) -> None:
    other = await suite.start()
    key = await suite.key()

    async def rate_micro() -> int:
        await other.get(MODELS, headers=key["headers"])
        signed = suite.service.headers()[b"x-tollway-principal"][0]
        return int(suite.signer.verify(signed).rate_micro)

    assert await rate_micro() == 1_000_000
    answer = await suite.admin.put("/api/groups/default", json={"rate": "0.85"})
    assert answer.json() == {"name": "default", "rate": "0.85"}

    async def changed() -> bool:
        return await rate_micro() == 850_000

    await _until(changed, 1)


async def test_an_expired_key_is_refused_and_can_be_given_more_time(suite: Any) -> None:
    past = (suite.clock.now() - timedelta(seconds=1)).isoformat()
    key = await suite.key(expires_at=past)
    refused = await suite.admin.get(MODELS, headers=key["headers"])
    assert refused.status_code == 401
    assert "expired" in refused.json()["error"]["message"]
    assert (await suite.admin.patch(f"/api/keys/{key['id']}", json={"expires_at": None})).status_code == 200
    assert (await suite.admin.get(MODELS, headers=key["headers"])).status_code == 200


async def test_the_principal_carries_what_the_key_may_do(suite: Any) -> None:
    key = await suite.key(
        rpm=100, tpm=2000, models=["gpt-4o*"], budget_usd="12.5", budget_period="month", concurrency=9
    )
    answer = await suite.admin.get(MODELS, headers=key["headers"])
    principal = suite.signer.verify(suite.service.headers()[b"x-tollway-principal"][0])
    assert principal.spender == key["id"]
    assert principal.user == key["user"]
    assert principal.account not in (key["user"], key["id"])
    assert principal.scopes == ("relay", "account")
    assert principal.models == ("gpt-4o*",)
    assert (principal.limits.rpm, principal.limits.tpm, principal.limits.concurrency) == (100, 2000, 9)
    assert (principal.limits.budget.limit_nano, principal.limits.budget.period) == (12_500_000_000, "month")
    assert principal.request_id == answer.headers["x-request-id"]


async def test_a_budget_travels_with_its_clock_its_alert_and_what_may_be_spent_at_once(suite: Any) -> None:
    terms = {"budget_timezone": "Europe/Berlin", "budget_alert_percent": 80, "max_charge_usd": "0.5"}
    key = await suite.key(budget_usd="5", budget_period="day", **terms)
    shown = (await suite.admin.get("/api/keys", headers=key["headers"])).json()["data"][0]
    assert terms.items() <= shown.items()
    await suite.admin.get(MODELS, headers=key["headers"])
    principal = suite.signer.verify(suite.service.headers()[b"x-tollway-principal"][0])
    assert principal.limits.budget == Budget(5_000_000_000, "day", "Europe/Berlin", 80, 500_000_000)
    single = await suite.key(name="single", max_charge_usd="0.25")
    patched = await suite.admin.patch(f"/api/keys/{single['id']}", json={"budget_timezone": "Asia/Tokyo"})
    assert patched.json()["budget_timezone"] == "Asia/Tokyo"
    await suite.admin.get(MODELS, headers=single["headers"])
    principal = suite.signer.verify(suite.service.headers()[b"x-tollway-principal"][0])
    assert principal.limits.budget == Budget(2**63 - 1, "total", "Asia/Tokyo", None, 250_000_000)


async def test_one_user_neither_sees_nor_touches_the_keys_of_another(suite: Any) -> None:
    ann, bob = await suite.key("ann@example.com"), await suite.key("bob@example.com")
    listed = (await suite.admin.get("/api/keys", headers=bob["headers"])).json()["data"]
    assert [key["id"] for key in listed] == [bob["id"]]
    own = bob["headers"]
    attempts = [
        suite.admin.get("/api/keys", params={"email": "ann@example.com"}, headers=own),
        suite.admin.get("/api/keys", params={"user": ann["user"]}, headers=own),
        suite.admin.patch(f"/api/keys/{ann['id']}", json={"rpm": 1}, headers=own),
        suite.admin.delete(f"/api/keys/{ann['id']}", headers=own),
        suite.admin.post("/api/keys", json={"name": "mine", "email": "ann@example.com"}, headers=own),
        suite.admin.post("/api/keys", json={"name": "mine", "user": ann["user"]}, headers=own),
        suite.admin.get(f"/api/users/{ann['user']}", headers=own),
        suite.admin.patch(f"/api/users/{ann['user']}", json={"enabled": False}, headers=own),
    ]
    for answer in await asyncio.gather(*attempts):
        assert answer.status_code == 404, answer.text
        assert answer.headers["content-type"].startswith("application/problem+json")
    assert (await suite.admin.get(MODELS, headers=ann["headers"])).status_code == 200


async def test_a_user_manages_keys_of_their_own(suite: Any) -> None:
    key = await suite.key()
    made = await suite.admin.post("/api/keys", json={"name": "second", "rpm": 5}, headers=key["headers"])
    assert made.status_code == 201
    assert made.json()["user"] == key["user"]
    patched = await suite.admin.patch(
        f"/api/keys/{made.json()['id']}", json={"rpm": None, "budget_usd": "1"}, headers=key["headers"]
    )
    assert (patched.json()["rpm"], patched.json()["budget_usd"]) == (None, "1")
    gone = await suite.admin.delete(f"/api/keys/{made.json()['id']}", headers=key["headers"])
    assert gone.status_code == 204


async def test_a_user_gives_no_key_more_than_they_have(suite: Any) -> None:
    key = await suite.key()
    for fields in ({"scopes": ["relay", "account", "admin"]}, {"secret": "sk-chosen-by-a-user-0123456789"}):
        answer = await suite.admin.post("/api/keys", json={"name": "x", **fields}, headers=key["headers"])
        assert answer.status_code == 403, answer.text
    restricted = await suite.key(name="for an app", budget_usd="1")
    answer = await suite.admin.post("/api/keys", json={"name": "wider"}, headers=restricted["headers"])
    assert answer.status_code == 403


async def test_a_key_with_scope_admin_counts_only_while_its_owner_is_an_admin(suite: Any) -> None:
    await suite.user("root@example.com", role="admin")
    key = await suite.key("root@example.com", scopes=["relay", "account", "admin"])
    assert (await suite.admin.get("/api/groups", headers=key["headers"])).status_code == 200
    await suite.admin.patch(f"/api/users/{key['user']}", json={"role": "user"})
    assert (await suite.admin.get("/api/groups", headers=key["headers"])).status_code == 403


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"rpm": -1}, "rpm"),
        ({"budget_usd": "a lot"}, "budget_usd"),
        ({"budget_usd": "-1"}, "budget_usd"),
        ({"budget_timezone": "Mars/Olympus"}, "budget_timezone"),
        ({"budget_alert_percent": 101}, "budget_alert_percent"),
        ({"max_charge_usd": "0"}, "max_charge_usd"),
        ({"ips": ["nowhere"]}, "ips"),
        ({"name": ""}, "name"),
        ({"secret": "short"}, "secret"),
        ({"secret": "toa_what-only-an-app-may-hold"}, "secret"),
        ({"scopes": ["everything"]}, "scopes"),
        ({"expires_at": "2027-01-01T00:00:00"}, None),
        ({"unknown": 1}, None),
    ],
)
async def test_a_key_that_cannot_be_is_refused_with_the_field_named(
    suite: Any, fields: Any, param: str | None
) -> None:
    await suite.user()
    body = {"email": "ann@example.com", "name": "main", **fields}
    answer = await suite.admin.post("/api/keys", json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json().get("param") == param or param is None


async def test_two_keys_share_neither_name_nor_secret(suite: Any) -> None:
    await suite.key(secret="sk-the-same-for-both-0123456789")
    again = await suite.admin.post("/api/keys", json={"email": "ann@example.com", "name": "main"})
    assert again.status_code == 409
    body = {"email": "ann@example.com", "name": "other", "secret": "sk-the-same-for-both-0123456789"}
    assert (await suite.admin.post("/api/keys", json=body)).status_code == 409


async def test_pages_follow_one_another_without_gap_or_repeat(suite: Any) -> None:
    await suite.user()
    names = [f"key {number}" for number in range(5)]
    for name in names:
        await suite.key(name=name)
    seen: list[str] = []
    params: dict[str, Any] = {"limit": 2, "email": "ann@example.com"}
    while True:
        page = (await suite.admin.get("/api/keys", params=params)).json()
        seen += [key["name"] for key in page["data"]]
        if page["next"] is None:
            break
        params["after"] = page["next"]
    assert seen == names
    assert (await suite.admin.get("/api/keys", params={"limit": 501})).status_code == 400


async def test_events_of_a_user_are_numbered_without_gap_and_hold_no_secret(suite: Any) -> None:
    key = await suite.key()
    await asyncio.gather(*(suite.key(name=f"key {number}") for number in range(5)))
    await suite.admin.patch(f"/api/keys/{key['id']}", json={"rpm": 3})
    await suite.admin.delete(f"/api/keys/{key['id']}")
    client = await nats.connect(suite.nats_url)
    try:
        subscription = await client.jetstream().subscribe(
            f"identity.*.*.v1.{key['user']}", ordered_consumer=True
        )
        messages = [await subscription.next_msg(timeout=5) for _ in range(9)]
    finally:
        await client.close()
    decoder = msgspec.json.Decoder(IdentityEvent)
    events = [decoder.decode(message.data) for message in messages]
    assert [event.sequence for event in events] == list(range(1, 10))
    kinds = [type(event).__name__ for event in events]
    assert kinds[0] == "UserCreated"
    assert sorted(kinds[1:7]) == ["KeyCreated"] * 6
    assert kinds[7:] == ["KeyUpdated", "KeyRevoked"]
    assert all(key["secret"] not in message.data.decode() for message in messages)

    async def published() -> bool:
        return not await suite.rows("SELECT 1 FROM outbox")

    await _until(published, 5)  # events are heard before their rows are deleted
