"""Public routes of the OAuth service: what is sent reaches it, bounded, and no script reaches a page."""

from typing import Any

import httpx
import pytest

BASIC = "Basic YXBwOnNlY3JldA=="
SENT = {
    "authorization": BASIC,
    "dpop": "a.b.c",
    "cookie": "tollway_session=secret",
    "x-tollway-principal": "forged",
    "content-type": "application/x-www-form-urlencoded",
}
SCRIPTED = (
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
    "/.well-known/jwks.json",
    "/oauth/token",
    "/oauth/revoke",
    "/oauth/introspect",
    "/oauth/userinfo",
    "/oauth/par",
    "/oauth/device_authorization",
    "/oauth/v1/charges",
)
PAGES = ("/oauth/authorize", "/oauth/consent/abc", "/oauth/device", "/oauth/device/allowed", "/oauth/apps")


async def _anybody(suite: Any, **settings: Any) -> httpx.AsyncClient:
    suite.admin = await suite.start(oauth_url=suite.service.url, **settings)
    client: httpx.AsyncClient = await suite.browser()
    return client


async def test_an_app_proves_itself_to_the_oauth_service_and_to_nobody_else(bare_suite: Any) -> None:
    anybody = await _anybody(bare_suite)
    body = b"grant_type=authorization_code&code=toc_1&key=x"
    answer = await anybody.post("/oauth/token?key=kept&key=%20", content=body, headers=SENT)
    assert (answer.status_code, answer.text) == (200, "ok")
    seen = bare_suite.service.headers()
    assert (seen[b"authorization"], seen[b"dpop"]) == ([BASIC.encode()], [b"a.b.c"])
    assert not {b"cookie", b"x-tollway-principal"} & set(seen)
    assert bare_suite.service.scopes[-1]["query_string"] == b"key=kept&key=%20"
    assert bare_suite.service.bodies == [body]
    await anybody.post("/webhooks/stripe", content=b"{}", headers=SENT)
    assert not {b"authorization", b"dpop", b"cookie"} & set(bare_suite.service.headers())


async def test_two_authorizations_are_for_the_oauth_service_to_refuse(bare_suite: Any) -> None:
    anybody = await _anybody(bare_suite)
    headers = [("authorization", BASIC), ("authorization", "Bearer toa_1"), ("dpop", "a"), ("dpop", "b")]
    await anybody.post("/oauth/token", content=b"", headers=headers)
    seen = bare_suite.service.headers()
    assert seen[b"authorization"] == [BASIC.encode(), b"Bearer toa_1"]
    assert seen[b"dpop"] == [b"a", b"b"]


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_gets_the_session_and_no_script_may_read_it(bare_suite: Any, path: str) -> None:
    anybody = await _anybody(bare_suite)
    answer = await anybody.get(path, headers={**SENT, "origin": "https://evil.example"})
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert bare_suite.service.headers()[b"cookie"] == [b"tollway_session=secret"]
    preflight = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    asked = await anybody.options(path, headers=preflight)
    assert not [name for name in asked.headers if name.startswith("access-control-")]
    assert bare_suite.service.scopes[-1]["method"] == "OPTIONS"


@pytest.mark.parametrize("path", SCRIPTED)
async def test_an_app_in_a_browser_may_call_what_needs_no_cookie(bare_suite: Any, path: str) -> None:
    anybody = await _anybody(bare_suite)
    answer = await anybody.get(path, headers={**SENT, "origin": "https://app.example"})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "www-authenticate" in answer.headers["access-control-expose-headers"]
    assert b"cookie" not in bare_suite.service.headers()
    preflight = {
        "origin": "https://app.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,dpop",
    }
    asked = await anybody.options(path, headers=preflight)
    assert asked.status_code == 204
    assert asked.headers["access-control-allow-headers"] == "authorization,dpop"


async def test_no_script_reads_the_sign_in_page(suite: Any) -> None:
    anybody = await suite.browser()
    answer = await anybody.get("/login", headers={"origin": "https://evil.example"})
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_errors_of_the_gateway_are_in_the_protocols_shape(suite: Any) -> None:
    anybody = await suite.browser()
    away = await anybody.post("/oauth/token", data={"grant_type": "refresh_token"})
    assert (away.status_code, away.json()["error"]) == (503, "temporarily_unavailable")
    assert away.json()["error_description"].isascii()
    assert away.headers["content-type"] == "application/json"
    charges = await anybody.get("/oauth/v1/charges")
    assert (charges.status_code, charges.json()["code"]) == (503, "service_unavailable")
    large = await anybody.post("/oauth/token", content=b"x" * (2**20 + 1))
    assert (large.status_code, large.json()["error"]) == (413, "request_too_large")


async def test_an_address_that_asks_too_often_waits_and_others_do_not(bare_suite: Any) -> None:
    anybody = await _anybody(bare_suite, public_rpm=3, trusted_proxies="127.0.0.1")
    here = {"x-forwarded-for": "2001:db8::1"}
    for path in ("/oauth/token", "/oauth/par", "/oauth/device_authorization", "/oauth/device", "/login"):
        for _ in range(3):
            assert (await anybody.post(path, headers=here, content=b"")).status_code != 429
        refused = await anybody.post(path, headers={"x-forwarded-for": "2001:db8::2"}, content=b"")
        assert refused.status_code == 429, path
        assert int(refused.headers["retry-after"]) <= 20
        assert (await anybody.get(path, headers=here)).status_code == 429
        other = await anybody.post(path, headers={"x-forwarded-for": "2001:db8:0:1::1"}, content=b"")
        assert other.status_code != 429
    assert refused.json()["code"] == "rate_limit_exceeded"
    for path in ("/oauth/authorize", "/auth", "/next/v1/oauth"):  # asked by GET, and each leaves something
        answers = [(await anybody.get(path, headers=here)).status_code for _ in range(4)]
        assert (answers.count(429), answers[-1]) == (1, 429), path
    told = await anybody.post("/oauth/token", headers=here, content=b"")
    assert told.json()["error"] == "temporarily_unavailable"
    for _ in range(10):
        assert (await anybody.post("/oauth/v1/charges", headers=here, content=b"")).status_code == 200


async def test_without_a_bound_nobody_waits(bare_suite: Any) -> None:
    anybody = await _anybody(bare_suite, public_rpm=0)
    for _ in range(20):
        assert (await anybody.post("/oauth/token", content=b"")).status_code == 200
