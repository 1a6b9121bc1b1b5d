"""The device flow over HTTP: what the device hears, what its person sees (RFC 8628)."""

import asyncio
import re
from typing import Any

import httpx
import pytest

GRANT = "urn:ietf:params:oauth:grant-type:device_code"
TERMS = {"limit": "3", "period": "week"}
DETAILS = '[{"type":"charge_user","currency":"USD","limit":{"amount":"2","period":"day"}}]'


async def _begin(oauth: Any, app: Any, secret: str, **form: str) -> dict[str, Any]:
    answer = await oauth.ask("/oauth/device_authorization", app, secret, **({"scope": "relay"} | form))
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def _poll(oauth: Any, app: Any, secret: str, device_code: str) -> httpx.Response:
    answer: httpx.Response = await oauth.ask(
        "/oauth/token", app, secret, grant_type=GRANT, device_code=device_code
    )
    return answer


def _cookie(token: str) -> dict[str, str]:
    return {"cookie": f"tollway_session={token}"}


async def _enter(oauth: Any, token: str, session: Any, user_code: str) -> httpx.Response:
    form = {"csrf": session.csrf, "user_code": user_code}
    answer: httpx.Response = await oauth.http.post("/oauth/device", data=form, headers=_cookie(token))
    return answer


async def _decide(oauth: Any, user_code: str, decision: str = "allow") -> httpx.Response:
    """A person types the code and decides."""
    token, session = oauth.people.sign_in()
    entered = await _enter(oauth, token, session, user_code)
    assert entered.status_code == 303, entered.text
    page = entered.headers["location"]
    assert (await oauth.visit(page, token)).status_code == 200
    answer: httpx.Response = await oauth.decide(page, token, session.csrf, decision, **TERMS)
    return answer


async def test_a_device_gets_tokens_once_its_person_has_allowed_them(oauth: Any) -> None:
    app, secret = await oauth.app()
    begun = await _begin(oauth, app, secret, scope="charge relay")
    assert begun["device_code"].startswith("tod_")
    assert re.fullmatch(r"[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}", begun["user_code"])
    assert begun["verification_uri"] == "http://127.0.0.1:8080/oauth/device"
    assert begun["verification_uri_complete"].endswith(f"/oauth/device?user_code={begun['user_code']}")
    assert (begun["expires_in"], begun["interval"]) == (600, 5)
    waiting = await _poll(oauth, app, secret, begun["device_code"])
    assert (waiting.status_code, waiting.json()["error"]) == (400, "authorization_pending")
    decided = await _decide(oauth, begun["user_code"].lower().replace("-", " "))
    assert (decided.status_code, decided.headers["location"]) == (303, "/oauth/device/allowed")
    assert "connected" in (await oauth.http.get("/oauth/device/allowed")).text
    answer = await _poll(oauth, app, secret, begun["device_code"])
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["scope"] == "charge relay"
    assert told["authorization_details"] == [
        {"type": "charge_user", "currency": "USD", "limit": {"amount": "3", "period": "week"}}
    ]
    live = await oauth.ask("/oauth/introspect", app, secret, token=told["access_token"])
    assert live.json()["active"] is True
    again = await _poll(oauth, app, secret, begun["device_code"])
    assert again.json()["error"] == "invalid_grant"
    stored = await oauth.rows("SELECT * FROM devices")
    assert stored == []


async def test_a_person_who_says_no_is_told_so_and_so_is_the_device(oauth: Any) -> None:
    app, secret = await oauth.app()
    begun = await _begin(oauth, app, secret)
    decided = await _decide(oauth, begun["user_code"], "deny")
    assert decided.headers["location"] == "/oauth/device/denied"
    assert "not connected" in (await oauth.http.get("/oauth/device/denied")).text
    answer = await _poll(oauth, app, secret, begun["device_code"])
    assert (answer.status_code, answer.json()["error"]) == (400, "access_denied")
    assert await oauth.rows("SELECT 1 FROM grants") == []


async def test_a_device_that_asks_too_soon_is_told_to_slow_down_and_the_interval_stays(oauth: Any) -> None:
    app, secret = await oauth.app()
    begun = await _begin(oauth, app, secret)
    told = []
    for wait_s in (0, 4, 9, 15):
        oauth.clock.advance(wait_s)
        told.append((await _poll(oauth, app, secret, begun["device_code"])).json()["error"])
    assert told == ["authorization_pending", "slow_down", "slow_down", "authorization_pending"]


async def test_a_device_whose_time_is_over_hears_so_and_nothing_is_granted(oauth: Any) -> None:
    app, secret = await oauth.app()
    begun = await _begin(oauth, app, secret)
    oauth.clock.advance(500)
    token, session = oauth.people.sign_in()
    page = (await _enter(oauth, token, session, begun["user_code"])).headers["location"]
    await oauth.visit(page, token)
    oauth.clock.advance(100)
    late = await oauth.decide(page, token, session.csrf)
    assert late.status_code == 410
    assert await oauth.rows("SELECT 1 FROM grants") == []
    answer = await _poll(oauth, app, secret, begun["device_code"])
    assert (answer.status_code, answer.json()["error"]) == (400, "expired_token")
    token, session = oauth.people.sign_in()
    assert (await _enter(oauth, token, session, begun["user_code"])).status_code == 404


async def test_another_app_cannot_take_a_device_code_nor_disturb_it(oauth: Any) -> None:
    app, secret = await oauth.app()
    other, other_secret = await oauth.app()
    begun = await _begin(oauth, app, secret)
    await _decide(oauth, begun["user_code"])
    for _ in range(3):
        stolen = await _poll(oauth, other, other_secret, begun["device_code"])
        assert (stolen.status_code, stolen.json()["error"]) == (400, "invalid_grant")
    assert (await _poll(oauth, app, secret, begun["device_code"])).status_code == 200


async def test_fifty_devices_with_one_code_over_two_replicas_get_one_answer(bare_oauth: Any) -> None:
    oauth = bare_oauth
    replicas = [await oauth.start_replica() for _ in range(2)]
    app, secret = await oauth.app()
    begun = await _begin(oauth, app, secret)
    await _decide(oauth, begun["user_code"])
    form = {"grant_type": GRANT, "device_code": begun["device_code"]}
    form |= {"client_id": app.client_id, "client_secret": secret}
    answers = await asyncio.gather(
        *(replicas[index % 2].post("/oauth/token", data=form) for index in range(50))
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 49
    assert {answer.json()["error"] for answer in answers if answer.status_code == 400} == {"invalid_grant"}
    assert len(await oauth.rows("SELECT 1 FROM access_tokens")) == 1


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"scope": ""}, "invalid_scope"),
        ({"scope": "relay unknown"}, "invalid_scope"),
        ({"scope": "rélay"}, "invalid_scope"),
        ({"scope": "openid", "authorization_details": DETAILS}, "invalid_scope"),
        ({"authorization_details": '[{"type":"payment"}]'}, "invalid_authorization_details"),
        ({"client_secret": "tos_wrong"}, "invalid_client"),
    ],
)
async def test_a_device_that_asks_wrongly_hears_the_code_of_the_standard(
    oauth: Any, form: dict[str, str], error: str
) -> None:
    app, secret = await oauth.app()
    own = {"client_id": app.client_id, "client_secret": secret, "scope": "relay"}
    answer = await oauth.http.post("/oauth/device_authorization", data=own | form)
    assert answer.status_code == (401 if error == "invalid_client" else 400)
    assert answer.json()["error"] == error
    assert answer.headers["cache-control"] == "no-store"
    repeated = await oauth.http.post(
        "/oauth/device_authorization",
        content="client_id=a&client_id=b",
        headers={"content-type": "application/x-www-form-urlencoded"},
    )
    assert repeated.json()["error"] == "invalid_request"


async def test_what_a_device_asks_to_spend_is_proposed_and_an_app_without_secret_may_ask(oauth: Any) -> None:
    app, secret = await oauth.app("none")
    begun = await _begin(oauth, app, secret, scope="", authorization_details=DETAILS)
    token, session = oauth.people.sign_in()
    location = (await _enter(oauth, token, session, begun["user_code"])).headers["location"]
    page = (await oauth.visit(location, token)).text
    assert 'name="limit"' in page
    assert 'value="2"' in page


async def test_the_code_page_wants_a_sign_in_its_own_form_and_no_frame(oauth: Any) -> None:
    stranger = await oauth.http.get("/oauth/device", params={"user_code": "bcdfghjk"})
    assert stranger.status_code == 303
    assert stranger.headers["location"] == "/login?next=%2Foauth%2Fdevice%3Fuser_code%3DBCDF-GHJK"
    token, session = oauth.people.sign_in()
    other, _ = oauth.people.sign_in()
    page = await oauth.visit("/oauth/device?user_code=BCDF-GHJK", token)
    assert 'value="BCDF-GHJK"' in page.text
    assert page.headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"
    odd = await oauth.visit("/oauth/device?user_code=%22%3E%3Cscript%3E", token)
    assert 'value=""' in odd.text
    for csrf in ("", "x", oauth.people.sessions[other].csrf):
        form = {"csrf": csrf, "user_code": "BCDF-GHJK"}
        forged = await oauth.http.post("/oauth/device", data=form, headers=_cookie(token))
        assert forged.status_code == 403
    chinese = await oauth.visit("/oauth/device", token, headers={"accept-language": "zh-CN"})
    assert "连接设备" in chinese.text
    wrong = await oauth.http.post(
        "/oauth/device", data={"csrf": session.csrf, "user_code": "<b>BCDF"}, headers=_cookie(token)
    )
    assert wrong.status_code == 404
    assert "&lt;b&gt;BCDF" in wrong.text


async def test_after_five_wrong_codes_a_person_waits_even_with_the_right_one(oauth: Any) -> None:
    app, secret = await oauth.app()
    token, session = oauth.people.sign_in()
    wrong = [await _enter(oauth, token, session, "BBBB-BBBB") for _ in range(5)]
    assert {answer.status_code for answer in wrong} == {404}
    oauth.clock.advance(590)
    begun = await _begin(oauth, app, secret)
    refused = await _enter(oauth, token, session, begun["user_code"])
    assert refused.status_code == 429
    assert "1 min" in refused.text
    oauth.clock.advance(10)
    assert (await _enter(oauth, token, session, begun["user_code"])).status_code == 303


async def test_an_app_that_is_disabled_loses_its_devices(oauth: Any) -> None:
    app, secret = await oauth.app()
    begun = await _begin(oauth, app, secret)
    await oauth.rows("UPDATE apps SET disabled_at = now(), disabled_by = 'operator'")
    token, session = oauth.people.sign_in()
    assert (await _enter(oauth, token, session, begun["user_code"])).status_code == 404
    assert (await _poll(oauth, app, secret, begun["device_code"])).json()["error"] == "invalid_client"


async def test_the_metadata_names_the_device_endpoint(oauth: Any) -> None:
    told = (await oauth.http.get("/.well-known/oauth-authorization-server")).json()
    assert told["device_authorization_endpoint"] == "http://127.0.0.1:8080/oauth/device_authorization"
    assert GRANT in told["grant_types_supported"]
