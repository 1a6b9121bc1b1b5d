"""An app spends a person's money through the whole suite, until the person has had enough."""

import re
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from common.kit.ids import uuid7
from e2e.browsers import Browser, register_app
from e2e.suite import RunningSuite, eventually

CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"  # RFC 7636 appendix B
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}


def _tokens(
    suite: RunningSuite, browser: Browser, app: dict[str, Any], scope: str, state: str = "s-1"
) -> dict[str, Any]:
    asked = httpx.URL(
        f"{suite.url}/oauth/authorize",
        params={
            "response_type": "code",
            "client_id": app["client_id"],
            "redirect_uri": app["redirect_uris"][0],
            "scope": scope,
            "state": state,
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
        },
    )
    told = parse_qs(urlsplit(browser.follow(str(asked))).query)
    assert (told["state"], told["iss"]) == ([state], [suite.url])
    answer = httpx.post(
        f"{suite.url}/oauth/token",
        data={"grant_type": "authorization_code", "code": told["code"][0], "code_verifier": VERIFIER},
        auth=(app["client_id"], app["client_secret"]),
    )
    assert answer.status_code == 200, answer.text
    tokens: dict[str, Any] = answer.json()
    return tokens


@pytest.fixture
def browser(suite: RunningSuite) -> Iterator[Browser]:
    browser = Browser(suite, suite.person())
    yield browser
    browser.http.close()


@pytest.fixture
def app(suite: RunningSuite) -> dict[str, Any]:
    return register_app(suite.person(balance="0"), suite)


def test_a_token_calls_a_model_on_the_persons_balance_and_the_record_names_grant_and_app(
    suite: RunningSuite, browser: Browser, app: dict[str, Any]
) -> None:
    tokens = _tokens(suite, browser, app, "relay")
    headers = {"authorization": f"Bearer {tokens['access_token']}"}
    answer = httpx.post(f"{suite.base_url}/chat/completions", json=BODY, headers=headers)
    assert answer.status_code == 200, answer.text
    (record,) = suite.wait_usage(browser.person, 1)
    own = {"authorization": f"Bearer {browser.person.key}"}
    (grant,) = httpx.get(f"{suite.url}/api/oauth/grants", headers=own).json()["data"]
    assert (record["app"], record["spender"]) == (app["client_id"], grant["id"])
    balance = suite.wait_released(browser.person)
    assert balance == Decimal(10) - Decimal(record["cost"])


def test_the_longest_state_passes_through_sign_in_and_consent(
    suite: RunningSuite, browser: Browser, app: dict[str, Any]
) -> None:
    assert "access_token" in _tokens(suite, browser, app, "openid", "状" * 3_413)


def test_a_revoke_ends_the_token_within_a_second_a_stream_under_way_may_finish_and_no_lease_stays(
    suite: RunningSuite, browser: Browser, app: dict[str, Any]
) -> None:
    tokens = _tokens(suite, browser, app, "relay offline_access")
    headers = {"authorization": f"Bearer {tokens['access_token']}"}
    url = f"{suite.base_url}/chat/completions"
    own = {"authorization": f"Bearer {browser.person.key}"}
    (grant,) = httpx.get(f"{suite.url}/api/oauth/grants", headers=own).json()["data"]
    long = BODY | {"model": "sim-tokens-200+slow-chunks-10ms", "stream": True}
    with httpx.stream("POST", url, json=long, headers=headers, timeout=30) as stream:
        lines = stream.iter_lines()
        assert next(lines)
        ended = httpx.delete(f"{suite.url}/api/oauth/grants/{grant['id']}", headers=own)
        assert ended.status_code in (200, 204), ended.text
        ended_s = time.monotonic()

        def refused() -> httpx.Response | None:
            answer = httpx.post(url, json=BODY, headers=headers)
            return answer if answer.status_code == 401 else None

        answer = eventually(refused, 1)
        assert time.monotonic() - ended_s < 1
        assert answer.json()["error"]["code"] == "invalid_token"
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
        assert [line for line in lines if line][-1] == "data: [DONE]"
    again = httpx.post(
        f"{suite.url}/oauth/token",
        data={"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]},
        auth=(app["client_id"], app["client_secret"]),
    )
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    records = eventually(lambda: [one for one in suite.usage(browser.person) if one["outcome"]] or None)
    assert {record["spender"] for record in records} == {grant["id"]}
    # What is held is given back with the lease: nobody renews it, and it ends on its own.
    suite.wait_released(browser.person, 60)


def test_the_persons_limit_bounds_what_an_app_spends_on_models(
    suite: RunningSuite, browser: Browser, app: dict[str, Any]
) -> None:
    browser.terms = {"limit": "0.000001", "period": "total"}
    tokens = _tokens(suite, browser, app, "relay")
    headers = {"authorization": f"Bearer {tokens['access_token']}", "x-request-id": uuid7()}
    answer = httpx.post(f"{suite.base_url}/chat/completions", json=BODY, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "budget_exceeded")
    own = {"authorization": f"Bearer {browser.person.key}"}
    assert httpx.post(f"{suite.base_url}/chat/completions", json=BODY, headers=own).status_code == 200


def test_a_token_for_signing_in_calls_no_model(
    suite: RunningSuite, browser: Browser, app: dict[str, Any]
) -> None:
    tokens = _tokens(suite, browser, app, "openid email")
    headers = {"authorization": f"Bearer {tokens['access_token']}"}
    answer = httpx.post(f"{suite.base_url}/chat/completions", json=BODY, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "insufficient_scope")
    told = httpx.get(f"{suite.url}/oauth/userinfo", headers=headers)
    assert told.json()["email"] == browser.person.email
    for path in ("/api/oauth/grants", "/api/keys", "/api/billing/wallet"):
        answer = httpx.get(f"{suite.url}{path}", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")


def test_an_app_or_a_person_that_is_disabled_is_refused_within_a_second_and_comes_back(
    suite: RunningSuite, browser: Browser, app: dict[str, Any]
) -> None:
    tokens = _tokens(suite, browser, app, "openid relay")
    headers = {"authorization": f"Bearer {tokens['access_token']}"}

    def answers(wanted: int) -> bool | None:
        called = httpx.post(f"{suite.base_url}/chat/completions", json=BODY, headers=headers)
        told = httpx.get(f"{suite.url}/oauth/userinfo", headers=headers)
        return True if (called.status_code, told.status_code) == (wanted, wanted) else None

    assert answers(200)
    path, user = f"/api/oauth/apps/{app['client_id']}", f"/api/users/{browser.person.user}"
    suite.admin.post(f"{path}/disable").raise_for_status()
    eventually(lambda: answers(401), 1)
    suite.admin.post(f"{path}/enable").raise_for_status()
    eventually(lambda: answers(200))
    suite.admin.patch(user, json={"enabled": False}).raise_for_status()
    eventually(lambda: answers(401), 1)
    suite.admin.patch(user, json={"enabled": True}).raise_for_status()
    eventually(lambda: answers(200))


def test_a_person_sees_what_an_app_has_spent_and_removes_it_on_the_page(
    suite: RunningSuite, browser: Browser, app: dict[str, Any]
) -> None:
    tokens = _tokens(suite, browser, app, "relay")
    headers = {"authorization": f"Bearer {tokens['access_token']}"}
    assert httpx.post(f"{suite.base_url}/chat/completions", json=BODY, headers=headers).status_code == 200
    suite.wait_usage(browser.person, 1)
    page = browser.http.get("/oauth/apps")
    assert app["name"] in page.text
    assert "of 5 USD spent" in page.text
    assert "0 of 5 USD spent" not in page.text
    form = dict(re.findall(r'name="(csrf|grant)" value="([^"]+)"', page.text))
    assert set(form) == {"csrf", "grant"}
    removed = browser.http.post("/oauth/apps", data=form)
    assert (removed.status_code, removed.headers["location"]) == (303, "/oauth/apps?removed=true")

    def refused() -> bool | None:
        answer = httpx.post(f"{suite.base_url}/chat/completions", json=BODY, headers=headers)
        return True if answer.status_code == 401 else None

    eventually(refused, 1)
