"""What every request passes: credentials, scopes, addresses, limits, CORS, errors in the protocol's shape."""

import asyncio
import logging
from typing import Any

import pytest

from common.kit.ids import is_request_id
from common.kit.migrations import upgrade

MODELS = "/v1/models"
OURS = ("gateway", "common", "asyncio")
CHAT = "/v1/chat/completions"


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"authorization": "Bearer {key}"}, ""),
        ({"authorization": "bearer {key}"}, ""),
        ({"authorization": "{key}"}, ""),
        ({"x-api-key": "{key}", "anthropic-version": "2023-06-01"}, ""),
        ({"api-key": "{key}"}, ""),
        ({"x-goog-api-key": "{key}"}, ""),
        ({"mj-api-secret": "{key}"}, ""),
        ({"sec-websocket-protocol": "realtime, openai-insecure-api-key.{key}"}, ""),
        ({}, "?alt=sse&key={key}&x=%2F"),
        ({}, "?%6Bey={key}"),
        ({"authorization": "Bearer", "x-api-key": "{key}"}, "?key=other"),
    ],
)
async def test_every_form_of_credential_works_and_none_goes_further(
    suite: Any, headers: dict[str, str], query: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    key = await suite.key()
    secret = key["secret"]
    suite.admin.headers.pop("authorization")
    sent = {name: value.format(key=secret) for name, value in headers.items()}
    answer = await suite.admin.get(MODELS + query.format(key=secret), headers=sent)
    assert answer.status_code == 200, answer.text
    scope = suite.service.scopes[-1]
    assert secret.encode() not in repr((scope["headers"], scope["query_string"], scope["raw_path"])).encode()
    principal = suite.service.headers().pop(b"x-tollway-principal")[0]
    assert secret.encode() not in principal
    assert suite.signer.verify(principal).spender == key["id"]
    if "alt=sse" in query:
        assert scope["query_string"] == b"alt=sse&x=%2F"
    ours = [record.getMessage() for record in caplog.records if record.name.split(".")[0] in OURS]
    assert secret not in "".join(ours)


@pytest.mark.parametrize(
    ("path", "headers", "where"),
    [
        (CHAT, {}, ("error", "type", "authentication_error")),
        (MODELS, {}, ("error", "code", "invalid_api_key")),
        (MODELS, {"anthropic-version": "2023-06-01"}, ("error", "type", "authentication_error")),
        ("/api/keys", {}, ("code", None, "invalid_api_key")),
        ("/api/billing/wallet", {}, ("status", None, 401)),
    ],
)
@pytest.mark.parametrize(
    "key", [None, "Bearer sk-unknown-unknown-unknown", "Basic dXNlcjpwYXNz", "Bearer \xe9"]
)
async def test_a_missing_or_bad_key_is_refused_in_the_shape_of_the_protocol(
    suite: Any, path: str, headers: dict[str, str], where: Any, key: str | None
) -> None:
    suite.admin.headers.pop("authorization")
    if key is not None:
        headers = {**headers, "authorization": key.encode("latin-1")}  # type: ignore[dict-item]
    answer = await suite.admin.get(path, headers=headers)
    assert answer.status_code == 401
    body = answer.json()
    outer, inner, value = where
    assert (body[outer] if inner is None else body[outer][inner]) == value
    if "anthropic-version" in headers:
        assert body["type"] == "error"
    assert is_request_id(answer.headers["x-request-id"])
    assert answer.headers["x-request-id"] in answer.text
    assert answer.headers["access-control-allow-origin"] == "*"
    assert suite.service.scopes == []


async def test_a_revoked_and_an_unknown_key_are_told_the_same(suite: Any) -> None:
    key = await suite.key()
    await suite.admin.delete(f"/api/keys/{key['id']}")
    revoked = await suite.admin.get(CHAT, headers=key["headers"])
    unknown = await suite.admin.get(CHAT, headers={"authorization": "Bearer sk-nobody-nobody-nobody"})
    assert revoked.status_code == unknown.status_code == 401
    assert revoked.json()["error"]["type"] == unknown.json()["error"]["type"]


async def test_the_operators_key_has_every_scope_and_no_account(suite: Any) -> None:
    assert (await suite.admin.get(MODELS)).status_code == 200
    principal = suite.signer.verify(suite.service.headers()[b"x-tollway-principal"][0])
    assert principal.scopes == ("relay", "account", "admin")
    assert {principal.account, principal.user, principal.spender} == {"00000000-0000-0000-0000-000000000000"}
    me = (await suite.admin.get("/api/me")).json()
    assert (me["role"], me["email"]) == ("admin", None)


async def test_a_route_beyond_the_keys_scopes_is_forbidden(suite: Any) -> None:
    key = await suite.key()
    answer = await suite.admin.get("/api/channels", headers=key["headers"])
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    relay_only = await suite.key(name="relay only", scopes=["relay"])
    assert (await suite.admin.get("/api/keys", headers=relay_only["headers"])).status_code == 403
    assert suite.service.scopes == []


async def test_a_clients_request_id_is_kept_when_it_is_a_sane_token(suite: Any) -> None:
    for given, kept in (("trace-me-12345", True), ("x", False), ("white space in it", False)):
        answer = await suite.admin.get(MODELS, headers={"x-request-id": given})
        said = answer.headers["x-request-id"]
        assert (said == given) is kept
        assert is_request_id(said)
        assert suite.service.headers()[b"x-request-id"] == [said.encode()]


async def test_a_preflight_is_answered_on_every_path_without_a_key(suite: Any) -> None:
    suite.admin.headers.pop("authorization")
    wanted = "authorization,mj-api-secret,x-stainless-os,anthropic-beta"
    for path in (CHAT, "/api/keys", "/nowhere", "/"):
        answer = await suite.admin.options(
            path,
            headers={
                "origin": "https://chat.example",
                "access-control-request-method": "POST",
                "access-control-request-headers": wanted,
            },
        )
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["access-control-allow-headers"] == wanted
        assert "POST" in answer.headers["access-control-allow-methods"]
    assert suite.service.scopes == []


async def test_a_browser_may_read_the_request_id_and_the_limits(suite: Any) -> None:
    answer = await suite.admin.get(MODELS, headers={"origin": "https://chat.example"})
    exposed = answer.headers["access-control-expose-headers"]
    assert "x-request-id" in exposed
    assert "x-ratelimit-remaining-requests" in exposed
    own = await suite.admin.get("/api/me")
    assert own.headers["access-control-allow-origin"] == "*"
    assert own.headers["x-request-id"]


async def test_unknown_paths_are_told_and_a_double_v1_is_explained(suite: Any) -> None:
    double = await suite.admin.post("/v1/v1/chat/completions")
    assert double.status_code == 404
    assert "/v1 twice" in double.json()["error"]["message"]
    unknown = await suite.admin.get("/nowhere")
    assert unknown.status_code == 404
    assert unknown.json()["error"]["code"] == "unknown_url"
    anthropic = await suite.admin.post("/v1/nowhere", headers={"anthropic-version": "2023-06-01"})
    assert anthropic.json()["error"]["type"] == "not_found_error"
    management = await suite.admin.get("/api/nowhere")
    assert management.status_code == 404
    assert management.headers["content-type"] == "application/problem+json"
    welcome = await suite.admin.get("/")
    assert welcome.json()["name"] == "Tollway"


async def test_a_key_is_bound_to_its_addresses(suite: Any) -> None:
    here = await suite.key(ips=["127.0.0.0/8"])
    elsewhere = await suite.key(name="elsewhere", ips=["10.0.0.0/8", "2001:db8::/32"])
    assert (await suite.admin.get(MODELS, headers=here["headers"])).status_code == 200
    claimed = {**elsewhere["headers"], "x-forwarded-for": "10.1.2.3"}
    refused = await suite.admin.get(MODELS, headers=claimed)
    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "ip_not_allowed"


async def test_a_trusted_proxy_tells_the_address_and_a_client_cannot(suite: Any) -> None:
    behind = await suite.start(trusted_proxies="127.0.0.1, 192.0.2.0/24")
    key = await suite.key(ips=["10.0.0.0/8"])
    for told, status in (
        ("10.1.2.3", 200),
        ("203.0.113.9, 10.1.2.3, 192.0.2.7", 200),
        ("10.1.2.3, 203.0.113.9", 403),
        ("10.1.2.3, not an address", 403),
    ):
        answer = await behind.get(MODELS, headers={**key["headers"], "x-forwarded-for": told})
        assert answer.status_code == status, told
        if status == 200:
            assert b"x-forwarded-for" not in suite.service.headers()


async def test_requests_over_the_rate_are_refused_and_told_when_to_return(suite: Any) -> None:
    key = await suite.key(rpm=3)
    answers = [await suite.admin.get(MODELS, headers=key["headers"]) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["x-ratelimit-remaining-requests"] for answer in answers] == ["2", "1", "0", "0"]
    refused = answers[-1]
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert 1 <= int(refused.headers["retry-after"]) <= 20
    assert refused.headers["x-ratelimit-limit-requests"] == "3"
    assert refused.headers["x-ratelimit-reset-requests"].endswith("s")
    assert len(suite.service.scopes) == 3


async def test_no_more_requests_run_at_a_time_than_the_key_allows(suite: Any) -> None:
    release = asyncio.Event()

    async def hold(_scope: Any, _receive: Any, send: Any) -> None:
        await release.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    suite.service.app = hold
    key = await suite.key(concurrency=2)
    tasks = [asyncio.create_task(suite.admin.get(MODELS, headers=key["headers"])) for _ in range(5)]
    refused = 0
    for done in asyncio.as_completed(tasks):
        answer = await done
        refused += answer.status_code == 429
        if refused == 3:
            release.set()
    assert sorted(task.result().status_code for task in tasks) == [200, 200, 429, 429, 429]
    assert (await suite.admin.get(MODELS, headers=key["headers"])).status_code == 200


async def test_known_keys_go_on_and_unknown_ones_are_told_503_while_the_database_is_away(
    bare_suite: Any, postgres_server: Any
) -> None:
    postgres_server.ensure_database("gateway", "gateway")
    bare_suite.dsn = postgres_server.dsn("gateway", "gateway")
    await upgrade(bare_suite.dsn, "gateway")
    bare_suite.admin = await bare_suite.start()
    known, unused = await bare_suite.key(), await bare_suite.key(name="unused")
    assert (await bare_suite.admin.get(MODELS, headers=known["headers"])).status_code == 200
    postgres_server.kill()
    assert (await bare_suite.admin.get(MODELS, headers=known["headers"])).status_code == 200
    refused = await bare_suite.admin.get(MODELS, headers=unused["headers"])
    assert refused.status_code == 503
    assert refused.headers["x-should-retry"] == "true"
    assert (await bare_suite.admin.get("/api/keys")).status_code == 503
    postgres_server.start()
    status = 503
    while status == 503:  # each question takes as long as the lookup it waits for
        status = (await bare_suite.admin.get(MODELS, headers=unused["headers"])).status_code
    assert status == 200


async def test_a_service_without_address_is_unavailable(suite: Any) -> None:
    alone = await suite.start(chat_relay_url="")
    assert (await alone.get(MODELS)).status_code == 503
    refusing = await suite.start(chat_relay_url="http://127.0.0.1:1")
    answer = await refusing.get(MODELS)
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "service_unavailable"
    assert answer.headers["x-should-retry"] == "true"
