"""Apps written for other relays sign people in and spend their money through the whole suite."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from e2e.browsers import Browser, register_app
from e2e.suite import RunningSuite, eventually

CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"  # RFC 7636 appendix B
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
PKCE = {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}
BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
def browser(suite: RunningSuite) -> Iterator[Browser]:
    browser = Browser(suite, suite.person())
    yield browser
    browser.http.close()


def _code(browser: Browser, path: str, **query: str) -> str:
    url = httpx.URL(f"{browser.operator.url}{path}", params=query | PKCE)
    return parse_qs(urlsplit(browser.follow(str(url))).query)["code"][0]


def _chat(suite: RunningSuite, token: str) -> httpx.Response:
    headers = {"authorization": f"Bearer {token}"}
    return httpx.post(f"{suite.base_url}/chat/completions", json=BODY, headers=headers)


def test_an_openrouter_app_gets_a_key_that_works_until_its_person_ends_it(
    suite: RunningSuite, browser: Browser
) -> None:
    code = _code(browser, "/auth", callback_url="http://localhost:3000/callback")
    body = {"code": code, "code_verifier": VERIFIER, "code_challenge_method": "S256"}
    answer = httpx.post(f"{suite.url}/api/v1/auth/keys", json=body)
    assert answer.status_code == 200, answer.text
    key = answer.json()["key"]
    assert _chat(suite, key).status_code == 200
    (record,) = suite.wait_usage(browser.person, 1)
    assert record["app"] == "http:localhost"
    own = {"authorization": f"Bearer {browser.person.key}"}
    (grant,) = httpx.get(f"{suite.url}/api/oauth/grants", headers=own).json()["data"]
    assert httpx.delete(f"{suite.url}/api/oauth/grants/{grant['id']}", headers=own).status_code < 300
    eventually(lambda: _chat(suite, key).status_code == 401, 1)


def test_a_person_gives_an_openrouter_app_a_key_by_a_key_of_their_own(
    suite: RunningSuite, browser: Browser
) -> None:
    own = {"authorization": f"Bearer {browser.person.key}"}
    body = {"callback_url": "https://cards.example/back", "limit": 1.5} | PKCE
    made = httpx.post(f"{suite.url}/api/v1/auth/keys/code", json=body, headers=own)
    assert made.status_code == 200, made.text
    body = {"code": made.json()["data"]["id"], "code_verifier": VERIFIER}
    key = httpx.post(f"{suite.url}/api/v1/auth/keys", json=body).json()["key"]
    assert _chat(suite, key).status_code == 200
    again = httpx.post(
        f"{suite.url}/api/v1/auth/keys/code", json=body, headers={"authorization": f"Bearer {key}"}
    )
    assert again.status_code == 403, "an app's key gives no app anything"


def test_an_ohmygpt_app_signs_in_asks_and_charges(suite: RunningSuite, browser: Browser) -> None:
    scopes = ["openid", "email", "relay", "charge", "balance", "topup"]
    app = register_app(suite.person(balance="0"), suite, scopes=scopes)
    own: dict[str, Any] = {"client_id": app["client_id"], "redirect_uri": app["redirect_uris"][0]}
    asked = {"response_type": "code", "scope": "general_api_access", "state": "s-1"}
    code = _code(browser, "/next/v1/oauth", **own, **asked)
    form = {"client_id": app["client_id"], "client_secret": app["client_secret"], "code": code}
    issued = httpx.post(f"{suite.url}/api/v1/user/oauth/issue-token", data=form | {"code_verifier": VERIFIER})
    assert issued.status_code == 200, issued.text
    token = issued.json()["data"]["token"]
    assert _chat(suite, token).status_code == 200
    balance = suite.wait_released(browser.person)

    def call(name: str, **body: object) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {token}"}
        answer = httpx.post(f"{suite.url}/api/v1/user/oauth/app/{name}", json=body, headers=headers)
        told: dict[str, Any] = answer.json()
        assert told["statusCode"] == answer.status_code
        return told

    info = call("query-user-basic-info")["data"]
    assert info == {"userId": issued.json()["data"]["user_id"], "userEmail": browser.person.email}
    assert Decimal(call("query-user-balance")["data"]["balance"]) == balance
    charge = call("charge-user-fee", amount=0.05, description="a card", idempotency_key="order-1")
    assert charge["statusCode"] == 200, charge
    assert charge["data"]["amount"] == "0.05"
    again = call("charge-user-fee", amount="0.05", description="a card", idempotency_key="order-1")
    assert again["data"]["id"] == charge["data"]["id"]
    assert Decimal(call("query-user-balance")["data"]["balance"]) == balance - Decimal("0.05")
    refused = call("charge-user-fee", amount=6, idempotency_key="order-2")
    assert (refused["statusCode"], refused["errorType"]) == (403, "charge_limit_exceeded_error")
    assert call("get-admin-token")["statusCode"] == 403
