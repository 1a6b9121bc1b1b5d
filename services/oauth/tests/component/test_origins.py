"""OpenRouter's flow: an app that nobody registered gets a key that spends within what its person entered."""

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest

from oauth.domain.codes import challenge_of

CALLBACK = "https://cards.example/back?kept=1"
VERIFIER = "v" * 43
ASK = {
    "callback_url": CALLBACK,
    "code_challenge": challenge_of(VERIFIER),
    "code_challenge_method": "S256",
}


async def _decide(oauth: Any, decision: str = "allow", **asked: str) -> str:
    """Where a person who decides is sent."""
    token, session = oauth.people.sign_in()
    begun = await oauth.visit("/auth", token, params=ASK | asked)
    assert begun.status_code == 303, begun.text
    location = begun.headers["location"]
    page = await oauth.visit(location, token)
    assert page.status_code == 200, page.text
    assert "answers at https://cards.example" in page.text
    decided = await oauth.decide(location, token, session.csrf, decision, limit="7")
    assert decided.status_code == 303, decided.text
    target: str = decided.headers["location"]
    return target


async def _exchange(oauth: Any, made: str, **body: Any) -> httpx.Response:
    answer: httpx.Response = await oauth.http.post(
        "/api/v1/auth/keys", json={"code": made, "code_verifier": VERIFIER} | body
    )
    return answer


def _code(target: str) -> str:
    return parse_qs(urlsplit(target).query)["code"][0]


async def test_an_app_gets_a_key_with_the_limit_that_the_person_entered(oauth: Any) -> None:
    target = await _decide(oauth)
    assert target.startswith("https://cards.example/back?kept=1&code=toc_")
    answer = await _exchange(oauth, _code(target), code_challenge_method="S256")
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert set(told) == {"key", "user_id"}
    assert told["key"].startswith("toa_")
    assert told["user_id"].startswith("sub_")
    (row,) = await oauth.rows(
        "SELECT t.scopes, g.limit_nano, g.period, t.expires_at - t.issued_at AS lives, a.client_id, a.owner"
        " FROM access_tokens t JOIN families f ON f.id = t.family JOIN grants g ON g.id = f.grant_id"
        " JOIN apps a ON a.id = g.app"
    )
    assert (row["scopes"], row["limit_nano"], row["period"]) == (["relay"], 7_000_000_000, "month")
    assert (row["lives"].days, row["client_id"], row["owner"]) == (365, "https:cards.example", None)
    assert await oauth.rows("SELECT 1 FROM refresh_tokens") == []
    replayed = await _exchange(oauth, _code(target))
    assert replayed.status_code == 403
    found = await oauth.rows("SELECT 1 FROM families WHERE revoked_at IS NOT NULL")
    assert len(found) == 1, "a code used twice ends the key"


async def test_a_person_who_says_no_is_sent_back_without_a_code(oauth: Any) -> None:
    assert await _decide(oauth, "deny") == "https://cards.example/back?kept=1&error=access_denied"


async def test_who_is_not_signed_in_signs_in_first_and_no_app_is_made(oauth: Any) -> None:
    answer = await oauth.http.get("/auth", params=ASK)
    assert answer.status_code == 303
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    assert query["next"] == [f"/auth?{urlencode(ASK)}"]
    assert await oauth.rows("SELECT 1 FROM apps") == []


@pytest.mark.parametrize(
    "asked",
    [
        {"callback_url": "http://cards.example/back"},
        {"callback_url": "javascript:alert(1)"},
        {"code_challenge": ""},
        {"code_challenge_method": "plain"},
        {"code_challenge_method": ""},
        {"code_challenge": "short"},
    ],
)
async def test_an_unsafe_request_is_told_on_a_page_and_leads_nowhere(
    oauth: Any, asked: dict[str, str]
) -> None:
    token, _ = oauth.people.sign_in()
    answer = await oauth.visit("/auth", token, params=ASK | asked)
    assert answer.status_code == 400
    assert "location" not in answer.headers
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert await oauth.rows("SELECT 1 FROM apps") == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"code": "toc_unknown"}, 403),
        ({"code_verifier": "w" * 43}, 403),
        ({"code_verifier": None}, 400),
        ({"code": 1.5, "code_verifier": ["v"]}, 400),
        ({"code_challenge_method": "plain"}, 400),
    ],
)
async def test_a_wrong_exchange_is_refused_in_the_peers_shape(
    oauth: Any, body: dict[str, Any], status: int
) -> None:
    code = _code(await _decide(oauth))
    answer = await _exchange(oauth, code, **body)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["code"] == status
    assert isinstance(answer.json()["error"]["message"], str)
    assert await oauth.rows("SELECT 1 FROM access_tokens") == []


async def test_the_code_of_a_registered_app_gets_no_key_here(oauth: Any) -> None:
    app, _ = await oauth.app("none")
    code = await oauth.code(app, "relay")
    verifier = "verifier-of-the-tests-of-at-least-43-characters"
    assert (await _exchange(oauth, code, code_verifier=verifier)).status_code == 403
    assert await oauth.rows("SELECT 1 FROM codes WHERE used_at IS NOT NULL") == []


async def test_fifty_exchanges_at_once_make_one_key(bare_oauth: Any) -> None:
    replicas = [await bare_oauth.start_replica() for _ in range(2)]
    code = _code(await _decide(bare_oauth))
    body = {"code": code, "code_verifier": VERIFIER}
    answers = await asyncio.gather(
        *(replicas[index % 2].post("/api/v1/auth/keys", json=body) for index in range(50))
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [403] * 49


async def test_a_person_allows_an_app_by_a_key_of_their_own(oauth: Any) -> None:
    headers = oauth.owner()
    body = ASK | {"limit": 12.5, "usage_limit_type": "weekly", "key_label": "mine", "workspace_id": "w"}
    answer = await oauth.http.post("/api/v1/auth/keys/code", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    told = answer.json()["data"]
    assert told["app_id"] == "https:cards.example"
    exchanged = await _exchange(oauth, told["id"])
    assert exchanged.json()["key"].startswith("toa_")
    again = await oauth.http.post("/api/v1/auth/keys/code", json=ASK | {"limit": "3"}, headers=headers)
    assert again.status_code == 200
    rows = await oauth.rows("SELECT limit_nano, period FROM grants")
    assert [tuple(row) for row in rows] == [(3_000_000_000, "total")]


@pytest.mark.parametrize(
    "body",
    [
        {"limit": -1},
        {"limit": 1e99},
        {"limit": [1]},
        {"limit": "much"},
        {"usage_limit_type": "yearly"},
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"expires_at": "2030-01-01T00:00:00"},
        {"callback_url": "http://cards.example"},
        {"code_challenge": None},
        {"code_challenge_method": "plain"},
    ],
)
async def test_what_a_person_cannot_allow_is_400(oauth: Any, body: dict[str, Any]) -> None:
    answer = await oauth.http.post("/api/v1/auth/keys/code", json=ASK | body, headers=oauth.owner())
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["code"] == 400
    assert await oauth.rows("SELECT 1 FROM grants") == []


async def test_an_app_cannot_allow_itself_anything(oauth: Any) -> None:
    for headers, status in ((oauth.grantee(), 403), ({}, 401)):
        answer = await oauth.http.post("/api/v1/auth/keys/code", json=ASK, headers=headers)
        assert answer.status_code == status


async def test_an_origin_that_the_operator_disabled_gets_nothing(oauth: Any) -> None:
    code = _code(await _decide(oauth))
    admin = oauth.owner(None, None, "admin")
    disabled = await oauth.http.post("/api/oauth/apps/https:cards.example/disable", headers=admin)
    assert disabled.status_code == 200, disabled.text
    assert (await _exchange(oauth, code)).status_code == 403
    token, _ = oauth.people.sign_in()
    refused = await oauth.visit("/auth", token, params=ASK)
    assert refused.status_code == 403


async def test_origins_that_nobody_allowed_are_forgotten_after_a_day(oauth: Any) -> None:
    await _decide(oauth)
    for callback in ("https://a.example/", "https://b.example/"):
        token, _ = oauth.people.sign_in()
        await oauth.visit("/auth", token, params=ASK | {"callback_url": callback})
    registered, _ = await oauth.app("none")
    await oauth.state.key_flow.forget_unused()
    assert len(await oauth.rows("SELECT 1 FROM apps")) == 4
    oauth.clock.advance(90_000)
    await oauth.rows("DELETE FROM authorization_requests")
    await oauth.state.key_flow.forget_unused()
    kept = await oauth.rows("SELECT client_id FROM apps ORDER BY client_id")
    assert [row["client_id"] for row in kept] == [registered.client_id, "https:cards.example"]
