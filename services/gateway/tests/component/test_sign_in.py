"""People sign in with a password, and only they, and not by guessing."""

import asyncio
import re
from typing import Any

import httpx
import pytest

from common.contracts.errors import ServiceError
from common.contracts.identity import SESSION_CHECK, SessionCheck, SessionFound
from common.kit.bus import Bus
from common.kit.rpc import RpcClient

EMAIL, PASSWORD = "ann@example.com", "correct horse battery"
FORM = {"email": EMAIL, "password": PASSWORD}


async def signed_in(suite: Any, browser: httpx.AsyncClient, **fields: str) -> httpx.Response:
    """The answer to the page's own form, filled in."""
    page = await browser.get("/login")
    return await browser.post("/login", data={**FORM, "csrf": csrf_of(page), **fields})


def csrf_of(page: httpx.Response) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert found, page.text
    return found.group(1)


def token_of(browser: httpx.AsyncClient) -> str:
    return browser.cookies["tollway_session"]


async def check(suite: Any, token: str) -> SessionFound:
    bus = await Bus.connect(suite.nats_url, "test")
    try:
        return await RpcClient(bus).call(SESSION_CHECK, SessionCheck(token), 5)
    finally:
        await bus.close()


async def test_the_page_signs_a_person_in_and_out_again(suite: Any) -> None:
    user = await suite.user(EMAIL, password=PASSWORD)
    browser = await suite.browser()
    answer = await signed_in(suite, browser, next="/login?next=%2F")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=%2F")
    cookie = next(line for line in answer.headers.get_list("set-cookie") if "tollway_session" in line)
    assert "HttpOnly" in cookie
    assert "samesite=lax" in cookie.lower()
    assert "Secure" not in cookie
    page = await browser.get("/login")
    assert EMAIL in page.text
    token = token_of(browser)
    found = await check(suite, token)
    assert (found.user, found.account, found.email) == (user["id"], user["account"], EMAIL)
    assert found.csrf == csrf_of(page)
    left = await browser.post("/login/end", data={"csrf": found.csrf})
    assert left.status_code == 303
    assert "tollway_session" not in browser.cookies
    with pytest.raises(ServiceError) as gone:
        await check(suite, token)
    assert (gone.value.error_code, gone.value.error_status) == ("not_signed_in", 401)


async def test_the_token_is_in_no_table(suite: Any) -> None:
    await suite.user(EMAIL, password=PASSWORD)
    browser = await suite.browser()
    await signed_in(suite, browser)
    rows = await suite.rows("SELECT s::text AS row FROM sessions AS s")
    assert len(rows) == 1
    assert token_of(browser) not in rows[0]["row"]
    failures = await suite.rows("SELECT f::text AS row FROM sign_in_failures AS f")
    assert not any(EMAIL in row["row"] for row in failures)


@pytest.mark.parametrize("email", [EMAIL, "nobody@example.com", "no address", ""])
async def test_a_wrong_password_and_an_unknown_address_look_alike(suite: Any, email: str) -> None:
    await suite.user(EMAIL, password=PASSWORD)
    browser = await suite.browser()
    answer = await signed_in(suite, browser, email=email, password="wrong password")
    assert answer.status_code == 401
    assert "Wrong e-mail address or password." in answer.text
    assert 'role="alert"' in answer.text
    assert "tollway_session" not in browser.cookies


async def test_guessing_is_slowed_down_for_everybody_who_tries_that_address(suite: Any) -> None:
    await suite.user(EMAIL, password=PASSWORD)
    browsers = [await suite.browser() for _ in range(12)]
    answers = await asyncio.gather(*(signed_in(suite, browser, password="a guess") for browser in browsers))
    assert sorted(answer.status_code for answer in answers) == [401] * 5 + [429] * 7
    refused = await signed_in(suite, browsers[0])
    assert refused.status_code == 429
    assert "Try again in" in refused.text
    suite.clock.advance(31)
    assert (await signed_in(suite, browsers[0])).status_code == 303
    assert (await signed_in(suite, browsers[1], password="wrong")).status_code == 401


async def test_the_wait_grows_with_every_failure(suite: Any) -> None:
    await suite.user(EMAIL, password=PASSWORD)
    browser = await suite.browser()
    for _ in range(5):
        assert (await signed_in(suite, browser, password="wrong")).status_code == 401
    for wait_s in (30, 60, 120):
        suite.clock.advance(wait_s - 2)
        assert (await signed_in(suite, browser, password="wrong")).status_code == 429
        suite.clock.advance(3)
        assert (await signed_in(suite, browser, password="wrong")).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [{"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": "https://evil.test"}],
)
async def test_a_form_sent_by_another_site_is_refused(suite: Any, headers: dict[str, str]) -> None:
    await suite.user(EMAIL, password=PASSWORD)
    browser = await suite.browser()
    page = await browser.get("/login")
    answer = await browser.post("/login", data={**FORM, "csrf": csrf_of(page)}, headers=headers)
    assert answer.status_code == 403
    assert "tollway_session" not in browser.cookies
    await signed_in(suite, browser)
    csrf = csrf_of(await browser.get("/login"))
    assert (await browser.post("/login/end", data={"csrf": csrf}, headers=headers)).status_code == 403
    assert (await browser.get("/login")).text.count(EMAIL) == 1


async def test_a_form_without_its_secret_is_refused(suite: Any) -> None:
    await suite.user(EMAIL, password=PASSWORD)
    browser, other = await suite.browser(), await suite.browser()
    assert (await browser.post("/login", data=FORM)).status_code == 403
    foreign = csrf_of(await other.get("/login"))
    await browser.get("/login")
    assert (await browser.post("/login", data={**FORM, "csrf": foreign})).status_code == 403
    await signed_in(suite, browser)
    assert (await browser.post("/login/end", data={"csrf": foreign})).status_code == 403
    assert (await browser.post("/login/end", data={})).status_code == 403


@pytest.mark.parametrize(
    ("target", "goes_to"),
    [
        ("/oauth/authorize?client_id=a&state=b", "/oauth/authorize?client_id=a&state=b"),
        ("https://evil.test/", "/login"),
        ("//evil.test/", "/login"),
        ("/\\evil.test/", "/login"),
        ("javascript:alert(1)", "/login"),
        ("/a\r\nset-cookie: x=1", "/login"),
        ("", "/login"),
    ],
)
async def test_nobody_is_sent_to_another_host(suite: Any, target: str, goes_to: str) -> None:
    await suite.user(EMAIL, password=PASSWORD)
    browser = await suite.browser()
    answer = await signed_in(suite, browser, next=target)
    assert (answer.status_code, answer.headers["location"]) == (303, goes_to)
    again = await browser.get("/login", params={"next": target})
    assert again.headers.get("location", "/login") == goes_to


async def test_a_session_ends_when_it_is_idle_and_when_it_is_old(suite: Any) -> None:
    await suite.user(EMAIL, password=PASSWORD)
    browser = await suite.browser()
    await signed_in(suite, browser)
    token = token_of(browser)
    for _ in range(7):
        suite.clock.advance(2 * 86_400 - 60)
        if suite.clock.monotonic() < 14 * 86_400 - 1000:
            await check(suite, token)
    suite.clock.advance(1000)
    with pytest.raises(ServiceError):
        await check(suite, token)
    await signed_in(suite, browser)
    suite.clock.advance(2 * 86_400 + 1)
    with pytest.raises(ServiceError):
        await check(suite, token_of(browser))


@pytest.mark.parametrize("change", [{"enabled": False}, {"password": "another password"}])
async def test_a_disabled_person_or_a_new_password_ends_every_session(suite: Any, change: Any) -> None:
    user = await suite.user(EMAIL, password=PASSWORD)
    browser = await suite.browser()
    await signed_in(suite, browser)
    answer = await suite.admin.patch(f"/api/users/{user['id']}", json=change)
    assert answer.status_code == 200, answer.text
    with pytest.raises(ServiceError):
        await check(suite, token_of(browser))
    assert (await signed_in(suite, browser)).status_code == 401


async def test_a_session_holds_on_every_replica(suite: Any) -> None:
    await suite.user(EMAIL, password=PASSWORD)
    other = await suite.start()
    browser = await suite.browser()
    await signed_in(suite, browser)
    elsewhere = await suite.browser(other)
    elsewhere.cookies.set("tollway_session", token_of(browser))
    assert EMAIL in (await elsewhere.get("/login")).text
    csrf = csrf_of(await elsewhere.get("/login"))
    await elsewhere.post("/login/end", data={"csrf": csrf})
    assert EMAIL not in (await browser.get("/login")).text


async def test_over_https_the_cookies_are_bound_to_the_host(suite: Any) -> None:
    replica = await suite.start(public_url="https://ai.example.com")
    page = await (await suite.browser(replica)).get("/login")
    cookie = page.headers["set-cookie"]
    assert re.fullmatch(
        r"__Host-tollway_form=\S+; HttpOnly; Max-Age=3600; Path=/; SameSite=lax; Secure", cookie
    )


async def test_the_page_can_be_neither_framed_nor_scripted_and_speaks_chinese(suite: Any) -> None:
    browser = await suite.browser()
    page = await browser.get("/login", headers={"accept-language": "zh-CN,zh;q=0.9,en;q=0.8"})
    assert '<html lang="zh">' in page.text
    assert "登录" in page.text
    policy = page.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "script-src" not in policy
    assert policy.startswith("default-src 'none'")
    assert page.headers["cache-control"] == "no-store"
    page = await browser.get("/login", params={"next": '/"><script>alert(1)</script>'})
    assert "<script>" not in page.text


async def test_no_service_but_the_pages_sees_the_cookie(suite: Any) -> None:
    key = await suite.key()
    browser = await suite.browser()
    browser.cookies.set("tollway_session", "a" * 43)
    await browser.get("/api/billing/wallet", headers=key["headers"])
    assert b"cookie" not in suite.service.headers()


async def test_a_webhook_passes_without_a_key_and_without_a_principal(suite: Any) -> None:
    browser = await suite.browser()
    headers = {"stripe-signature": "t=1,v1=2", "x-tollway-principal": "forged"}
    answer = await browser.post("/webhooks/stripe", content=b'{"id": 1}', headers=headers)
    assert answer.status_code == 200
    assert suite.service.bodies == [b'{"id": 1}']
    seen = suite.service.headers()
    assert seen[b"stripe-signature"] == [b"t=1,v1=2"]
    assert b"x-tollway-principal" not in seen
    assert (await browser.post("/webhooks/other", content=b"{}")).status_code == 404


async def test_who_must_prove_it_once_more_gets_the_form_and_a_new_session(suite: Any) -> None:
    await suite.user(EMAIL, password=PASSWORD)
    browser = await suite.browser()
    await signed_in(suite, browser)
    old = token_of(browser)
    suite.clock.advance(600)
    asked = {"next": "/oauth/consent?request=x", "again": "true"}
    page = await browser.get("/login", params=asked)
    assert (page.status_code, f'value="{EMAIL}"' in page.text) == (200, True)
    answer = await browser.post("/login", data={**FORM, "csrf": csrf_of(page), "next": asked["next"]})
    assert answer.headers["location"] == asked["next"]
    found = await check(suite, token_of(browser))
    assert found.auth_time_s == int(suite.clock.time())
    with pytest.raises(ServiceError):
        await check(suite, old)


async def test_who_signs_out_of_a_page_comes_back_to_it_as_another(suite: Any) -> None:
    await suite.user(EMAIL, password=PASSWORD)
    browser = await suite.browser()
    hinted = await browser.get("/login", params={"login_hint": 'bob"@example.com'})
    assert 'value="bob&#34;@example.com"' in hinted.text
    for next_, location in (
        ("/oauth/consent?request=x", "/login?next=%2Foauth%2Fconsent%3Frequest%3Dx"),
        ("https://evil.test/", "/login"),
        ("//evil.test/", "/login"),
    ):
        await signed_in(suite, browser)
        csrf = csrf_of(await browser.get("/login"))
        left = await browser.post("/login/end", data={"csrf": csrf, "next": next_})
        assert left.headers["location"] == location
