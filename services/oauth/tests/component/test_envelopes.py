"""OhMyGPT's dialect: its paths, its envelope and its error types over the same rules as the standard's."""

import asyncio
import base64
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from common.contracts.identity import KEY_DELEGATE, KeyDelegate, KeyDelegated
from common.kit.rpc import RpcServer
from common.kit.telemetry import Telemetry
from oauth.domain.codes import challenge_of

BACK = "https://cards.example/back"
VERIFIER = "v" * 43
PKCE = {"code_challenge": challenge_of(VERIFIER), "code_challenge_method": "S256"}
SCOPES = ("openid", "email", "relay", "charge", "balance", "topup")


def _query(app: Any, **values: str) -> dict[str, str]:
    own = {"response_type": "code", "client_id": app.client_id, "redirect_uri": BACK}
    return own | {"scope": "general_api_access", "state": "s 1"} | values


async def _decide(oauth: Any, query: dict[str, str], decision: str = "allow") -> str:
    """Where a person who decides is sent."""
    token, session = oauth.people.sign_in()
    begun = await oauth.visit("/next/v1/oauth", token, params=query)
    assert begun.status_code == 303, begun.text
    page = begun.headers["location"]
    assert (await oauth.visit(page, token)).status_code == 200
    decided = await oauth.decide(page, token, session.csrf, decision)
    target: str = decided.headers["location"]
    return target


def _code(target: str) -> str:
    return parse_qs(urlsplit(target).query)["code"][0]


async def _issue(oauth: Any, app: Any, secret: str, code: str, **values: str) -> httpx.Response:
    form = {"client_id": app.client_id, "client_secret": secret, "code": code} | values
    answer: httpx.Response = await oauth.http.post("/api/v1/user/oauth/issue-token", data=form)
    return answer


async def test_a_modern_app_signs_in_by_the_old_paths(oauth: Any) -> None:
    app, secret = await oauth.app(scopes=(*SCOPES, "management_token"))
    target = await _decide(oauth, _query(app, **PKCE))
    assert target.startswith(f"{BACK}?code=toc_")
    assert target.endswith("&state=s+1")
    issued = await _issue(oauth, app, secret, _code(target), code_verifier=VERIFIER)
    assert issued.status_code == 200, issued.text
    told = issued.json()
    assert (told["statusCode"], told["message"]) == (200, "Issue OAuth Token success")
    assert set(told["data"]) == {"user_id", "client_id", "token"}
    assert told["data"]["client_id"] == app.client_id
    (row,) = await oauth.rows("SELECT scopes, expires_at - issued_at AS lives FROM access_tokens")
    assert row["scopes"] == list(SCOPES), "the management token is asked by name or not at all"
    assert row["lives"].days == 365
    headers = {"authorization": f"Bearer {told['data']['token']}"}
    path = "/api/v1/user/oauth/app/query-user-basic-info"
    info = await oauth.http.post(path, json={}, headers=headers)
    assert info.status_code == 200, info.text
    assert info.json()["data"] == {"userId": told["data"]["user_id"], "userEmail": "ann@example.com"}


async def test_an_app_without_pkce_is_refused_unless_the_operator_lists_it(bare_oauth: Any) -> None:
    oauth = bare_oauth
    old, secret = await oauth.app(client_id="6681463833ebdbb2566d1def", scopes=SCOPES)
    public, _ = await oauth.app("none", client_id="public-app")
    await oauth.start_replica()
    token, _ = oauth.people.sign_in()
    refused = await oauth.visit("/next/v1/oauth", token, params=_query(old))
    assert refused.status_code == 400
    assert "PKCE is required" in refused.text
    await oauth.start_replica(legacy_apps="6681463833ebdbb2566d1def, public-app")
    refused = await oauth.visit("/next/v1/oauth", token, params=_query(public))
    assert refused.status_code == 400, "an app without a secret has nothing else that guards its code"
    code = _code(await _decide(oauth, _query(old)))
    body = {"client_id": old.client_id, "client_secret": secret, "code": code, "state": "s 1"}
    issued = await oauth.http.post("/api/v1/user/oauth/issue-token", json=body)
    assert issued.status_code == 200, issued.text
    again = await oauth.http.post("/api/v1/user/oauth/issue-token", json=body)
    assert (again.status_code, again.json()["errorType"]) == (400, "invalid_grant_error")
    standard = await oauth.http.get("/oauth/authorize", params=_query(old, scope="relay"))
    assert "error=invalid_request" in standard.headers["location"], "the standard path takes no exception"


async def test_a_template_puts_code_and_state_where_the_app_wants_them(oauth: Any) -> None:
    app, _ = await oauth.app(scopes=SCOPES)
    template = base64.b64encode(b"?tgid=114514&s={state}&c={code}").decode()
    target = await _decide(oauth, _query(app, redirect_template=template, **PKCE))
    assert target.startswith(f"{BACK}?tgid=114514&s=s%201&c=toc_")


async def test_a_person_who_says_no_is_sent_back_with_that(oauth: Any) -> None:
    app, _ = await oauth.app(scopes=SCOPES)
    target = await _decide(oauth, _query(app, **PKCE), "deny")
    assert target == f"{BACK}?error=access_denied&state=s+1"


@pytest.mark.parametrize(
    "values",
    [
        {"redirect_uri": f"{BACK}/"},
        {"redirect_uri": "https://cards.example/other"},
        {"client_id": "nobody"},
        {"response_type": "token"},
        {"scope": "general_api_access admin"},
        {"state": "x" * 10_241},
        {"redirect_template": base64.b64encode(b".evil.example?code={code}").decode()},
        {"code_challenge_method": "plain"},
    ],
)
async def test_every_fault_is_told_on_a_page_and_leads_nowhere(oauth: Any, values: dict[str, str]) -> None:
    app, _ = await oauth.app(scopes=SCOPES)
    token, _ = oauth.people.sign_in()
    query = _query(app, **PKCE) | values
    answer = await oauth.visit("/next/v1/oauth", token, params=query)
    assert answer.status_code in (400, 401)
    assert "location" not in answer.headers
    assert answer.headers["x-frame-options"] == "DENY"


async def test_an_app_that_must_push_or_prove_a_key_cannot_do_less_here(oauth: Any) -> None:
    token, _ = oauth.people.sign_in()
    for fields in ({"require_par": True}, {"require_dpop": True}):
        app, secret = await oauth.app(**fields)
        answer = await oauth.visit("/next/v1/oauth", token, params=_query(app, **PKCE))
        assert answer.status_code == 400
    code = await oauth.code(app)
    refused = await _issue(oauth, app, secret, code, code_verifier="verifier-of-the-tests-" + "x" * 30)
    assert (refused.status_code, refused.json()["errorType"]) == (400, "invalid_dpop_proof_error")


async def test_errors_come_in_the_envelope(oauth: Any) -> None:
    app, secret = await oauth.app(scopes=SCOPES)
    wrong = await _issue(oauth, app, "tos_wrong", "toc_x")
    assert wrong.status_code == 401
    assert wrong.json()["errorType"] == "invalid_client_error"
    assert wrong.json()["data"] is None
    path = "/api/v1/user/oauth/app"
    for headers in ({}, {"authorization": "Bearer toa_unknown"}):
        unknown = await oauth.http.post(f"{path}/query-user-balance", json={}, headers=headers)
        assert unknown.status_code == unknown.json()["statusCode"] == 401
        assert unknown.json()["errorType"] == "oauth_invalid_token_error"
        assert unknown.headers["www-authenticate"].startswith("Bearer")
    tokens = await oauth.tokens(app, secret, "relay")
    headers = {"authorization": f"Bearer {tokens['access_token']}"}
    narrow = await oauth.http.post(f"{path}/query-user-basic-info", json={}, headers=headers)
    assert (narrow.status_code, narrow.json()["errorType"]) == (403, "insufficient_scope_error")
    nothing = await oauth.http.post(f"{path}/drop-tables", json={}, headers=headers)
    assert nothing.status_code == 404
    for body in (b"[1]", b"{", b"\xff"):
        broken = await oauth.http.post(
            "/api/v1/user/oauth/issue-token", content=body, headers={"content-type": "application/json"}
        )
        assert (broken.status_code, broken.json()["errorType"]) == (400, "invalid_request_error")
    long = await oauth.http.post("/api/v1/user/oauth/issue-token", content=b" " * 65_537)
    assert long.status_code == 413


async def test_management_tokens_are_switched_off(oauth: Any) -> None:
    app, secret = await oauth.app(scopes=(*SCOPES, "management_token"))
    tokens = await oauth.tokens(app, secret, "management_token")
    headers = {"authorization": f"Bearer {tokens['access_token']}"}
    for name in ("get-admin-token", "reset-admin-token"):
        answer = await oauth.http.post(f"/api/v1/user/oauth/app/{name}", json={}, headers=headers)
        assert answer.status_code == 404
        assert answer.json()["errorType"] == "not_supported_error"


async def test_management_tokens_that_are_switched_off_later_are_taken_from_every_app(
    bare_oauth: Any,
) -> None:
    oauth = bare_oauth
    await oauth.start_replica(management_tokens=True)
    app, secret = await oauth.app(scopes=("openid", "management_token"))
    tokens = await oauth.tokens(app, secret, "openid", "management_token", "offline_access")
    await oauth.start_replica()
    told = (await oauth.ask("/oauth/introspect", app, secret, token=tokens["access_token"])).json()
    assert told["scope"] == "openid"
    renewal = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    renewed = (await oauth.ask("/oauth/token", app, secret, **renewal)).json()
    assert renewed["scope"] == "openid"
    asked = await oauth.visit("/oauth/authorize", params=oauth.question(app, "management_token"))
    assert "error=invalid_scope" in asked.headers["location"]


class Gateway:
    """The gateway's side of delegated keys."""

    def __init__(self) -> None:
        self.asked: list[KeyDelegate] = []
        self.meanwhile = asyncio.Event()
        self.meanwhile.set()
        self.arrived = asyncio.Event()

    async def delegate(self, request: KeyDelegate) -> KeyDelegated:
        known = {one.wish for one in self.asked}
        self.asked.append(request)
        self.arrived.set()
        await self.meanwhile.wait()
        return KeyDelegated("" if request.wish == "get" and known else f"sk-{len(self.asked)}")


async def test_an_app_that_was_allowed_it_by_name_gets_the_management_key_once(bare_oauth: Any) -> None:
    oauth, gateway = bare_oauth, Gateway()
    server = RpcServer(oauth.bus, "gateway-keys", Telemetry("test", "test-0", "", 0.0))
    server.add(KEY_DELEGATE, gateway.delegate)
    await server.start()
    oauth.stack.push_async_callback(server.stop)
    await oauth.start_replica(management_tokens=True)
    app, secret = await oauth.app(scopes=(*SCOPES, "management_token"))
    target = await _decide(oauth, _query(app, scope="general_api_access management_token", **PKCE))
    issued = await _issue(oauth, app, secret, _code(target), code_verifier=VERIFIER)
    headers = {"authorization": f"Bearer {issued.json()['data']['token']}"}

    async def ask(name: str) -> httpx.Response:
        path = f"/api/v1/user/oauth/app/{name}"
        answer: httpx.Response = await oauth.http.post(path, json={}, headers=headers)
        return answer

    assert (await ask("get-admin-token")).json()["data"] == {"token": "sk-1"}
    again = await ask("get-admin-token")
    assert (again.status_code, again.json()["errorType"]) == (409, "conflict_error")
    assert (await ask("reset-admin-token")).json()["data"] == {"token": "sk-3"}
    assert [(one.app, one.wish) for one in gateway.asked] == [
        (app.client_id, wish) for wish in ("get", "get", "replace")
    ]
    gateway.meanwhile.clear()
    gateway.arrived.clear()
    asking = asyncio.create_task(ask("reset-admin-token"))
    await gateway.arrived.wait()
    await oauth.rows("UPDATE grants SET revoked_at = now(), revoked_by = 'user'")
    gateway.meanwhile.set()
    assert (await asking).status_code == 401
    assert gateway.asked[-1].wish == "end", "no key outlives the grant that ended while it was made"


async def test_a_code_is_shown_to_be_copied_and_nothing_else_is(oauth: Any) -> None:
    page = "http://127.0.0.1:8080/next/v1/oauth/succeed"
    app, secret = await oauth.app(redirect_uris=(page,), scopes=SCOPES)
    target = await _decide(oauth, _query(app, redirect_uri=page, **PKCE))
    assert target.startswith(f"{page}?code=toc_")
    code = _code(target)
    shown = await oauth.http.get(target)
    assert code in shown.text
    assert "frame-ancestors 'none'" in shown.headers["content-security-policy"]
    for text in ("Your account is locked, call 555", "<script>", "toc_short", ""):
        refused = await oauth.http.get("/next/v1/oauth/succeed", params={"code": text})
        assert refused.status_code == 400
        assert "555" not in refused.text
    oauth.clock.advance(540)
    assert (await _issue(oauth, app, secret, code, code_verifier=VERIFIER)).status_code == 200
