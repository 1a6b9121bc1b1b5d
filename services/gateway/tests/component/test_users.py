"""/api/users, /api/groups, /api/me, and the question other services ask about people."""

import asyncio
from typing import Any

import pytest

from common.contracts.errors import ServiceError
from common.contracts.identity import USER_GET, USER_LOOKUP, UserGet, UserLookup, UserState
from common.kit.bus import Bus
from common.kit.rpc import RpcClient


async def test_a_person_has_an_account_that_is_not_their_id(suite: Any) -> None:
    user = await suite.user("Ann@Example.com", password="correct horse battery")
    assert user["email"] == "ann@example.com"
    assert user["account"] != user["id"]
    assert "password" not in str(user)
    assert (await suite.admin.get(f"/api/users/{user['id']}")).json() == user
    (row,) = await suite.rows("SELECT password_hash FROM users")
    assert row["password_hash"].startswith("$argon2id$")


async def test_one_address_is_one_person_in_any_case_even_at_once(suite: Any) -> None:
    bodies = [{"email": email} for email in ("ann@example.com", "ANN@example.com", " Ann@Example.Com ")]
    answers = await asyncio.gather(*(suite.admin.post("/api/users", json=body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"email": "nobody"}, "email"),
        ({"email": "a@b.c", "password": "short"}, "password"),
        ({"email": "a@b.c", "group": "nowhere"}, "group"),
        ({"email": "a@b.c", "role": "king"}, None),
        ({"email": 7}, None),
        ({}, None),
    ],
)
async def test_a_person_who_cannot_be_is_refused(suite: Any, body: Any, param: str | None) -> None:
    answer = await suite.admin.post("/api/users", json=body)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert param is None or answer.json()["param"] == param


async def test_only_admins_make_and_change_people_and_groups(suite: Any) -> None:
    key = await suite.key()
    own = key["headers"]
    attempts = [
        suite.admin.post("/api/users", json={"email": "eve@example.com"}, headers=own),
        suite.admin.patch(f"/api/users/{key['user']}", json={"role": "admin"}, headers=own),
        suite.admin.get("/api/groups", headers=own),
        suite.admin.put("/api/groups/default", json={"rate": "0"}, headers=own),
    ]
    for answer in await asyncio.gather(*attempts):
        assert answer.status_code == 403, answer.text
    listed = (await suite.admin.get("/api/users", headers=own)).json()["data"]
    assert [user["id"] for user in listed] == [key["user"]]


async def test_me_is_the_caller(suite: Any) -> None:
    key = await suite.key()
    me = (await suite.admin.get("/api/me", headers=key["headers"])).json()
    assert (me["user"], me["key"], me["email"]) == (key["user"], key["id"], "ann@example.com")
    assert me["scopes"] == ["relay", "account"]


async def test_a_moved_person_carries_the_new_groups_rate(suite: Any) -> None:
    key = await suite.key()
    assert (await suite.admin.put("/api/groups/partners", json={"rate": "0.5"})).status_code == 200
    assert (
        await suite.admin.patch(f"/api/users/{key['user']}", json={"group": "partners"})
    ).status_code == 200
    await suite.admin.get("/v1/models", headers=key["headers"])
    principal = suite.signer.verify(suite.service.headers()[b"x-tollway-principal"][0])
    assert (principal.group, principal.rate_micro) == ("partners", 500_000)
    for rate in ("cheap", "-1", "0.1234567"):
        assert (await suite.admin.put("/api/groups/partners", json={"rate": rate})).status_code == 400


async def test_other_services_find_a_person_by_address(suite: Any) -> None:
    user = await suite.user()
    bus = await Bus.connect(suite.nats_url, "test")
    try:
        client = RpcClient(bus)
        found = await client.call(USER_LOOKUP, UserLookup("ANN@example.com"))
        assert (found.user, found.account, found.email) == (user["id"], user["account"], "ann@example.com")
        with pytest.raises(ServiceError) as caught:
            await client.call(USER_LOOKUP, UserLookup("nobody@example.com"))
        assert caught.value.error_code == "not_found"
    finally:
        await bus.close()


async def test_other_services_learn_of_a_person_by_id_whether_they_are_enabled(suite: Any) -> None:
    user = await suite.user()
    bus = await Bus.connect(suite.nats_url, "test")
    try:
        client = RpcClient(bus)
        found = await client.call(USER_GET, UserGet(user["id"]))
        assert found == UserState(user["id"], user["account"], "ann@example.com", enabled=True)
        await suite.admin.patch(f"/api/users/{user['id']}", json={"enabled": False})
        assert not (await client.call(USER_GET, UserGet(user["id"]))).enabled
        for nobody in (user["account"], "", "ann@example.com"):
            with pytest.raises(ServiceError) as caught:
                await client.call(USER_GET, UserGet(nobody))
            assert caught.value.error_code == "not_found"
    finally:
        await bus.close()


async def test_the_management_api_describes_itself(suite: Any) -> None:
    described = (await suite.admin.get("/api/openapi/openapi.json")).json()
    assert "/api/keys" in described["paths"]
