"""The authorization endpoint: who is sent where, and what is refused (OAuth 2.1, RFC 9700, 9207, OIDC)."""

import asyncio
import json
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import httpx
import pytest

ISSUER = "http://127.0.0.1:8080"
BACK = "https://cards.example/back"
DETAIL = {"type": "charge_user", "currency": "USD", "limit": {"amount": "5.00", "period": "month"}}


async def _ask(oauth: Any, parameters: Any, token: str = "") -> httpx.Response:
    answer: httpx.Response = await oauth.visit("/oauth/authorize", token, params=parameters)
    return answer


def _told(answer: httpx.Response, redirect_uri: str = BACK) -> dict[str, str]:
    """What the app is told; every answer names the issuer, and no parameter twice."""
    assert answer.status_code == 303, answer.text
    location = answer.headers["location"]
    assert location.startswith(redirect_uri)
    assert answer.headers["cache-control"] == "no-store"
    pairs = parse_qsl(urlsplit(location).query, keep_blank_values=True, strict_parsing=True)
    told = dict(pairs)
    assert len(told) == len(pairs)
    assert told["iss"] == ISSUER
    description = told.get("error_description", "")
    assert all(" " <= c <= "~" and c not in '"\\' for c in description)
    return told


def _page(answer: httpx.Response, status: int = 400) -> str:
    """A page that leads nowhere."""
    assert answer.status_code == status, answer.text
    assert "location" not in answer.headers
    assert answer.headers["content-type"].startswith("text/html")
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-frame-options"] == "DENY"
    assert "href=" not in answer.text
    return answer.text


async def test_a_person_allows_and_the_app_gets_a_code_that_works(oauth: Any) -> None:
    app, secret = await oauth.app()
    code = await oauth.authorize(app, "openid", "charge")
    answer = await oauth.redeem(app, secret, code, redirect_uri=BACK)
    assert answer.status_code == 200, answer.text
    assert answer.json()["access_token"].startswith("toa_")


async def test_who_is_not_signed_in_signs_in_first_and_comes_back(oauth: Any) -> None:
    app, _ = await oauth.app()
    asked = await _ask(oauth, oauth.question(app, login_hint="ann@example.com"))
    page = asked.headers["location"]
    assert page.startswith("/oauth/consent?request=")
    answer = await oauth.visit(page)
    assert answer.status_code == 303
    path, _, query = answer.headers["location"].partition("?")
    assert path == "/login"
    assert parse_qs(query) == {"next": [page], "login_hint": ["ann@example.com"]}
    token, _ = oauth.people.sign_in()
    assert (await oauth.visit(page, token)).status_code == 200


async def test_the_parameters_may_come_in_a_form(oauth: Any) -> None:
    app, _ = await oauth.app()
    answer = await oauth.http.post("/oauth/authorize", data=oauth.question(app))
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/oauth/consent?request=")


async def test_an_address_that_is_not_registered_to_the_letter_gets_nothing(oauth: Any) -> None:
    app, _ = await oauth.app()
    token, _ = oauth.people.sign_in()
    for redirect_uri in [
        BACK + "x",
        BACK[:-1],
        BACK + "/",
        BACK + "?a=1",
        BACK + "#fragment",
        BACK.replace("https", "http"),
        BACK.replace("cards", "Cards"),
        BACK.replace("back", "Back"),
        BACK.replace("example", "example:443"),
        BACK.replace("back", "x/../back"),
        BACK.replace("back", "b%61ck"),
        "https://cards.example@evil.example/back",
        "https://evil.example/?" + BACK,
        "//evil.example/back",
        "javascript:alert(1)",
        "http://127.0.0.1:9/back",
        "back",
    ]:
        answer = await _ask(oauth, oauth.question(app, redirect_uri=redirect_uri, prompt="none"), token)
        assert "evil" not in _page(answer)


async def test_an_app_that_is_not_known_gets_a_page(oauth: Any) -> None:
    app, _ = await oauth.app()
    for client_id in [None, "", "nobody", "\0", "x" * 300, "sub_x", "é"]:
        answer = await _ask(oauth, oauth.question(app, client_id=client_id))
        _page(answer, 400)


async def test_a_disabled_app_gets_a_page(oauth: Any) -> None:
    app, _ = await oauth.app(disabled_at=oauth.clock.now(), disabled_by="owner")
    _page(await _ask(oauth, oauth.question(app)), 400)


@pytest.mark.parametrize(
    "registered", ["http://127.0.0.1/back", "http://[::1]:5/back", "http://localhost:9/back"]
)
async def test_the_port_of_a_loopback_address_is_free_and_nothing_else(oauth: Any, registered: str) -> None:
    app, _ = await oauth.app("none", redirect_uris=(registered,))
    host = registered.partition("//")[2].partition("/")[0].removesuffix(":5").removesuffix(":9")
    asked = f"http://{host}:51234/back"
    told = _told(await _ask(oauth, oauth.question(app, redirect_uri=asked, prompt="none")), asked)
    assert told["error"] == "login_required"
    for wrong in (f"http://{host}:51234/other", f"https://{host}:51234/back", f"http://{host}:512345/back"):
        _page(await _ask(oauth, oauth.question(app, redirect_uri=wrong)))


async def test_a_private_scheme_and_a_query_of_its_own_are_kept(oauth: Any) -> None:
    app, _ = await oauth.app(
        "none", redirect_uris=("com.example.app:/back", "https://cards.example/?a=b%20c")
    )
    for redirect_uri, joint in (("com.example.app:/back", "?"), ("https://cards.example/?a=b%20c", "&")):
        answer = await _ask(oauth, oauth.question(app, redirect_uri=redirect_uri, prompt="none"))
        _told(answer, redirect_uri + joint + "error=login_required")


async def test_the_only_registered_address_need_not_be_named(oauth: Any) -> None:
    app, _ = await oauth.app()
    assert "error" in _told(await _ask(oauth, oauth.question(app, redirect_uri=None, prompt="none")))
    two, _ = await oauth.app(redirect_uris=(BACK, "https://cards.example/other"))
    _page(await _ask(oauth, oauth.question(two, redirect_uri=None)))


FAULTS: tuple[tuple[dict[str, str | None], str], ...] = (
    ({"response_type": None}, "invalid_request"),
    ({"response_type": "token"}, "unsupported_response_type"),
    ({"response_type": "code id_token"}, "unsupported_response_type"),
    ({"response_mode": "fragment"}, "invalid_request"),
    ({"response_mode": "form_post"}, "invalid_request"),
    ({"code_challenge": None}, "invalid_request"),
    ({"code_challenge_method": None}, "invalid_request"),
    ({"code_challenge_method": "plain"}, "invalid_request"),
    ({"code_challenge_method": "s256"}, "invalid_request"),
    ({"code_challenge": "x" * 42}, "invalid_request"),
    ({"code_challenge": "x" * 42 + "="}, "invalid_request"),
    ({"scope": None}, "invalid_scope"),
    ({"scope": "nonsense"}, "invalid_scope"),
    ({"scope": "openid  charge"}, "invalid_scope"),
    ({"scope": "openid é"}, "invalid_scope"),
    ({"scope": "收费"}, "invalid_scope"),
    ({"scope": "relay"}, "invalid_scope"),
    ({"request": "e30.e30."}, "request_not_supported"),
    ({"registration": "{}"}, "registration_not_supported"),
    ({"prompt": "none login"}, "invalid_request"),
    ({"prompt": "create"}, "invalid_request"),
    ({"max_age": "-1"}, "invalid_request"),
    ({"max_age": "1.5"}, "invalid_request"),
    ({"nonce": "n" * 513}, "invalid_request"),
    ({"nonce": "a\x00b"}, "invalid_request"),
    ({"dpop_jkt": "short"}, "invalid_request"),
    ({"authorization_details": "[{}]"}, "invalid_authorization_details"),
    ({"authorization_details": json.dumps([DETAIL])}, "invalid_scope"),
    ({"scope": "charge", "authorization_details": "{"}, "invalid_authorization_details"),
    ({"prompt": "none"}, "login_required"),
)


async def test_every_other_fault_is_told_to_the_app(oauth: Any) -> None:
    app, _ = await oauth.app(scopes=("openid", "charge"))
    for changed, code in FAULTS:
        told = _told(await _ask(oauth, oauth.question(app, **changed)))
        assert (told["error"], told["state"]) == (code, "state-1"), changed
        assert "code" not in told


async def test_a_reference_that_was_not_made_here_gets_a_page(oauth: Any) -> None:
    app, _ = await oauth.app()
    answer = await _ask(oauth, oauth.question(app, request_uri="https://cards.example/request"))
    assert "invalid_request_uri" in _page(answer)


async def test_a_repeated_parameter_is_told_to_the_app(oauth: Any) -> None:
    app, _ = await oauth.app()
    question = oauth.question(app, nonce="n", unknown="u", prompt="login")
    for name in ("scope", "state", "nonce", "prompt", "unknown"):
        told = _told(await _ask(oauth, [*question.items(), (name, "again")]))
        assert told["error"] == "invalid_request"
        assert told.get("state", "") == ("" if name == "state" else "state-1")


async def test_a_repeated_client_or_address_gets_a_page(oauth: Any) -> None:
    app, _ = await oauth.app(redirect_uris=(BACK, "https://cards.example/other"))
    question = oauth.question(app)
    for name in ("client_id", "redirect_uri"):
        _page(await _ask(oauth, [*question.items(), (name, question[name])]))


async def test_text_that_is_none_is_not_sent_on(oauth: Any) -> None:
    app, _ = await oauth.app()
    for raw in ("%ff", "%00", "a%0d%0aset-cookie:x"):
        query = urlencode(oauth.question(app, state=None)) + f"&state={raw}"
        told = _told(await oauth.visit(f"/oauth/authorize?{query}"))
        assert told["error"] == "invalid_request"
        assert "state" not in told


async def test_the_state_comes_back_byte_for_byte(oauth: Any) -> None:
    app, _ = await oauth.app()
    for state in ("x" * 10_240, "&=?#/+%20 \"\\'<>", "状态🙂", " ", "a b+c"):
        token, session = oauth.people.sign_in()
        refused = await _ask(oauth, oauth.question(app, state=state, prompt="none"), token)
        assert _told(refused)["state"] == state
        page = (await _ask(oauth, oauth.question(app, state=state), token)).headers["location"]
        await oauth.visit(page, token)
        assert _told(await oauth.decide(page, token, session.csrf))["state"] == state


async def test_a_longer_state_is_refused(oauth: Any) -> None:
    app, _ = await oauth.app()
    told = _told(await _ask(oauth, oauth.question(app, state="x" * 10_241)))
    assert told["error"] == "invalid_request"
    assert "state" not in told


async def test_what_is_unknown_or_empty_is_ignored(oauth: Any) -> None:
    app, _ = await oauth.app()
    extra = {
        "resource": "https://api.example",
        "display": "popup",
        "ui_locales": "zh",
        "max_age": "",
        "x": "y",
    }
    answer = await _ask(oauth, oauth.question(app, **extra))
    assert answer.headers["location"].startswith("/oauth/consent")


async def test_a_person_signs_in_again_when_the_app_asks_for_it(oauth: Any) -> None:
    app, _ = await oauth.app()
    token, session = oauth.people.sign_in()
    oauth.clock.advance(600)
    for parameters in (
        {"prompt": "login"},
        {"prompt": "select_account"},
        {"max_age": "599"},
        {"max_age": "0"},
    ):
        page = (await _ask(oauth, oauth.question(app, **parameters), token)).headers["location"]
        answer = await oauth.visit(page, token)
        assert parse_qs(answer.headers["location"].partition("?")[2]) == {"next": [page], "again": ["true"]}
        assert (await oauth.decide(page, token, session.csrf)).status_code == 410
        again, fresh = oauth.people.sign_in()
        assert (await oauth.visit(page, again)).status_code == 200
        assert "code" in _told(await oauth.decide(page, again, fresh.csrf))
    page = (await _ask(oauth, oauth.question(app, max_age="600"), token)).headers["location"]
    assert (await oauth.visit(page, token)).status_code == 200


async def test_who_reads_slowly_need_not_sign_in_again(oauth: Any) -> None:
    app, _ = await oauth.app()
    token, session = oauth.people.sign_in()
    oauth.clock.advance(5)
    page = (await _ask(oauth, oauth.question(app, max_age="5"), token)).headers["location"]
    assert (await oauth.visit(page, token)).status_code == 200
    oauth.clock.advance(600)
    assert "code" in _told(await oauth.decide(page, token, session.csrf))
    page = (await _ask(oauth, oauth.question(app, max_age="0", scope="email"), token)).headers["location"]
    again, fresh = oauth.people.sign_in()
    oauth.clock.advance(600)
    assert (await oauth.visit(page, again)).status_code == 200
    assert "code" in _told(await oauth.decide(page, again, fresh.csrf))


async def test_another_old_session_is_no_new_sign_in(oauth: Any) -> None:
    app, _ = await oauth.app()
    (old, _), (token, _) = oauth.people.sign_in(), oauth.people.sign_in()
    oauth.clock.advance(600)
    page = (await _ask(oauth, oauth.question(app, prompt="login"), token)).headers["location"]
    assert (await oauth.visit(page, old)).headers["location"].startswith("/login?")


async def test_without_a_page_the_app_hears_what_is_missing(oauth: Any) -> None:
    app, _ = await oauth.app()
    public, _ = await oauth.app("none", redirect_uris=("http://127.0.0.1/back",))
    browser = oauth.people.sign_in()
    token = browser[0]
    silent = {"prompt": "none"}
    assert _told(await _ask(oauth, oauth.question(app, **silent)))["error"] == "login_required"
    assert _told(await _ask(oauth, oauth.question(app, **silent), token))["error"] == "consent_required"
    await oauth.authorize(app, "openid", "charge", browser=browser)
    assert "code" in _told(await _ask(oauth, oauth.question(app, **silent), token))
    wider = oauth.question(app, "openid", "email", **silent)
    assert _told(await _ask(oauth, wider, token))["error"] == "consent_required"
    oauth.clock.advance(100)
    stale = oauth.question(app, **silent, max_age="99")
    assert _told(await _ask(oauth, stale, token))["error"] == "login_required"
    asked = oauth.question(public, redirect_uri="http://127.0.0.1/back")
    await oauth.authorize(public, browser=browser, redirect_uri="http://127.0.0.1/back")
    answer = await _ask(oauth, asked | silent, token)
    assert _told(answer, "http://127.0.0.1/back")["error"] == "interaction_required"


async def test_no_other_origin_may_read_what_this_endpoint_says(oauth: Any) -> None:
    app, _ = await oauth.app()
    headers = {"origin": "https://cards.example"}
    answer = await oauth.visit("/oauth/authorize", params=oauth.question(app), headers=headers)
    assert not [name for name in answer.headers if name.startswith("access-control-")]


async def _push(oauth: Any, app: Any, secret: str, **changed: str | None) -> httpx.Response:
    form = oauth.question(app, **changed)
    form.pop("client_id")
    answer: httpx.Response = await oauth.ask("/oauth/par", app, secret, **form)
    return answer


async def test_a_pushed_request_is_used_once_by_the_app_that_pushed_it(oauth: Any) -> None:
    app, secret = await oauth.app(require_par=True)
    other, _ = await oauth.app()
    pushed = await _push(oauth, app, secret, state="pushed")
    assert pushed.status_code == 201, pushed.text
    assert pushed.headers["cache-control"] == "no-store"
    told = pushed.json()
    assert told["request_uri"].startswith("urn:ietf:params:oauth:request_uri:")
    assert told["expires_in"] == 60
    reference = {"request_uri": told["request_uri"]}
    assert "invalid_request_uri" in _page(await _ask(oauth, {"client_id": other.client_id} | reference))
    token, session = oauth.people.sign_in()
    question = {"client_id": app.client_id, "state": "ignored", "scope": "email"} | reference
    answers = await asyncio.gather(*(_ask(oauth, question, token) for _ in range(10)))
    [page] = [answer.headers["location"] for answer in answers if answer.status_code == 303]
    await oauth.visit(page, token)
    assert _told(await oauth.decide(page, token, session.csrf))["state"] == "pushed"
    assert {answer.status_code for answer in answers} == {303, 400}


async def test_a_pushed_request_expires(oauth: Any) -> None:
    app, secret = await oauth.app()
    question = {"client_id": app.client_id, **(await _push(oauth, app, secret)).json()}
    oauth.clock.advance(60)
    assert "invalid_request_uri" in _page(await _ask(oauth, question))


async def test_an_app_that_must_push_is_refused_without(oauth: Any) -> None:
    app, _ = await oauth.app(require_par=True)
    assert _told(await _ask(oauth, oauth.question(app)))["error"] == "unauthorized_client"


async def test_a_wrong_request_is_refused_when_it_is_pushed(oauth: Any) -> None:
    app, secret = await oauth.app("client_secret_post")
    for changed, code in (
        ({"request_uri": "urn:ietf:params:oauth:request_uri:x"}, "invalid_request"),
        ({"redirect_uri": BACK + "x"}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"scope": "nonsense"}, "invalid_scope"),
        ({"state": "x" * 10_241}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"authorization_details": "[1]"}, "invalid_authorization_details"),
        ({"client_secret": "wrong"}, "invalid_client"),
    ):
        answer = await _push(oauth, app, secret, **changed)
        assert answer.status_code == (401 if code == "invalid_client" else 400)
        assert answer.json()["error"] == code
    assert await oauth.rows("SELECT 1 FROM authorization_requests") == []


async def test_a_proof_with_the_push_binds_the_code(oauth: Any, dpop_key: Any) -> None:
    app, secret = await oauth.app()
    form = oauth.question(app)
    form.pop("client_id")
    proof = oauth.proof(dpop_key, path="/oauth/par")
    pushed = await oauth.ask("/oauth/par", app, secret, headers=proof, **form)
    assert pushed.status_code == 201, pushed.text
    token, session = oauth.people.sign_in()
    question = {"client_id": app.client_id, "request_uri": pushed.json()["request_uri"]}
    page = (await _ask(oauth, question, token)).headers["location"]
    await oauth.visit(page, token)
    await oauth.decide(page, token, session.csrf)
    [code] = await oauth.rows("SELECT dpop_jkt FROM codes")
    assert code["dpop_jkt"] == dpop_key.thumbprint()
    wrong = oauth.proof(dpop_key, path="/oauth/par")
    refused = await oauth.ask("/oauth/par", app, secret, headers=wrong, **form, dpop_jkt="x" * 43)
    assert refused.json()["error"] == "invalid_request"


@pytest.fixture
def dpop_key() -> Any:
    from joserfc.jwk import ECKey  # noqa: PLC0415  one test needs it

    return ECKey.generate_key("P-256")
