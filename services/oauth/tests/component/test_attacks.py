"""What may never happen, tried: each test is an attack, and its name says what stands against it."""

import logging
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc.jwk import ECKey

from oauth.domain.codes import challenge_of

ISSUER = "http://127.0.0.1:8080"
VERIFIER = "verifier-of-the-tests-of-at-least-43-characters"
OTHER_VERIFIER = "another-verifier-that-the-attacker-made-himself"
BACK = "https://cards.example/back"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def _told(location: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}


async def test_what_app_a_holds_is_worth_nothing_to_app_b(oauth: Any) -> None:
    a, a_secret = await oauth.app()
    b, b_secret = await oauth.app()
    tokens = await oauth.tokens(a, a_secret)
    code = await oauth.authorize(a, "relay")
    for kind in ("access_token", "refresh_token"):
        seen = await oauth.ask("/oauth/introspect", b, b_secret, token=tokens[kind])
        assert seen.json() == {"active": False}
        await oauth.ask("/oauth/revoke", b, b_secret, token=tokens[kind])
    stolen = await oauth.redeem(b, b_secret, code)
    assert (stolen.status_code, stolen.json()["error"]) == (400, "invalid_grant")
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    renewed = await oauth.ask("/oauth/token", b, b_secret, **form)
    assert (renewed.status_code, renewed.json()["error"]) == (400, "invalid_grant")
    alive = await oauth.ask("/oauth/introspect", a, a_secret, token=tokens["access_token"])
    assert alive.json()["active"] is True, "B's attempts did not end what is A's"
    assert (await oauth.redeem(a, a_secret, code)).status_code == 200


async def test_the_issuer_is_on_every_answer_and_no_other_issuers_proof_counts(oauth: Any) -> None:
    app, secret = await oauth.app()
    metadata = (await oauth.http.get("/.well-known/oauth-authorization-server")).json()
    assert metadata["issuer"] == ISSUER
    assert metadata["authorization_response_iss_parameter_supported"] is True
    token, session = oauth.people.sign_in()
    asked = await oauth.visit("/oauth/authorize", token, params=oauth.question(app, "relay"))
    page = asked.headers["location"]
    await oauth.visit(page, token)
    answers = [await oauth.decide(page, token, session.csrf)]
    asked = await oauth.visit("/oauth/authorize", token, params=oauth.question(app, "charge"))
    page = asked.headers["location"]
    await oauth.visit(page, token)
    answers.append(await oauth.decide(page, token, session.csrf, "deny"))
    for wrong in ({"scope": "unknown"}, {"code_challenge": None}, {"prompt": "none", "scope": "topup"}):
        parameters = oauth.question(app, **wrong)
        answers.append(await oauth.visit("/oauth/authorize", token, params=parameters))
    told = [_told(answer.headers["location"]) for answer in answers]
    assert [one["iss"] for one in told] == [ISSUER] * 5
    assert ["code" in one for one in told] == [True, False, False, False, False]
    elsewhere = oauth.proof(ECKey.generate_key("P-256"), htu="https://evil.example/oauth/token")
    refused = await oauth.redeem(app, secret, told[0]["code"], headers=elsewhere)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_dpop_proof")


async def test_pkce_cannot_be_left_out_weakened_or_stripped(oauth: Any) -> None:
    app, secret = await oauth.app()
    token, _ = oauth.people.sign_in()
    for weaker in (
        {"code_challenge": None, "code_challenge_method": None},
        {"code_challenge": VERIFIER, "code_challenge_method": "plain"},
        {"code_challenge_method": None},
        {"code_challenge": "short"},
    ):
        parameters = oauth.question(app, "relay", **weaker)
        answer = await oauth.visit("/oauth/authorize", token, params=parameters)
        assert _told(answer.headers["location"])["error"] == "invalid_request"
    for verifier in ("", challenge_of(VERIFIER), VERIFIER[:-1], VERIFIER + "x", "x" * 129):
        code = await oauth.authorize(app, "relay")
        refused = await oauth.redeem(app, secret, code, code_verifier=verifier)
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant"), verifier
        late = await oauth.redeem(app, secret, code)
        assert late.status_code == 400, "a guess at the verifier uses the code up"


async def test_a_code_injected_into_another_sign_in_gives_nothing_to_either(oauth: Any) -> None:
    app, secret = await oauth.app()
    stolen = await oauth.authorize(app, "relay", "charge")
    mine = await oauth.authorize(app, "relay", "charge", code_challenge=challenge_of(OTHER_VERIFIER))
    injected = await oauth.redeem(app, secret, stolen, code_verifier=OTHER_VERIFIER)
    assert injected.json()["error"] == "invalid_grant"
    swapped = await oauth.redeem(app, secret, mine)
    assert swapped.json()["error"] == "invalid_grant"
    assert await oauth.rows("SELECT 1 FROM access_tokens") == []


@pytest.mark.parametrize(
    "near",
    [
        "https://cards.example/bacK",
        "https://cards.example/back/",
        "https://cards.example/back?",
        "https://cards.example/back#",
        "https://cards.example/back%20",
        "https://cards.example/back/../back",
        "https://cards.example:443/back",
        "https://CARDS.example/back",
        "https://cards.example./back",
        "https://cards.example@evil.example/back",
        "https://evil.example/?u=https://cards.example/back",
        "//cards.example/back",
        "http://cards.example/back",
    ],
)
async def test_a_redirect_one_character_off_is_told_on_a_page_and_leads_nowhere(
    oauth: Any, near: str
) -> None:
    app, secret = await oauth.app()
    token, _ = oauth.people.sign_in()
    for parameters in ({"redirect_uri": near}, {"redirect_uri": near, "scope": "unknown"}):
        asked = await oauth.visit("/oauth/authorize", token, params=oauth.question(app, **parameters))
        assert asked.status_code == 400
        assert "location" not in asked.headers
    code = await oauth.authorize(app, "relay")
    refused = await oauth.redeem(app, secret, code, redirect_uri=near)
    assert refused.json()["error"] == "invalid_grant"


async def test_no_way_of_asking_again_gives_more_than_the_person_allowed(oauth: Any) -> None:
    app, secret = await oauth.app()
    browser = oauth.people.sign_in()
    code = await oauth.authorize(app, "relay", "offline_access", browser=browser)
    tokens = (await oauth.redeem(app, secret, code, scope="relay charge management_token")).json()
    assert set(tokens["scope"].split()) == {"relay", "offline_access"}, "scope is not asked at the code"
    for scope in ("relay charge", "management_token", "relay offline_access openid"):
        form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], "scope": scope}
        refused = await oauth.ask("/oauth/token", app, secret, **form)
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_scope")
    wider = oauth.question(app, "relay", "charge", prompt="none")
    silent = await oauth.visit("/oauth/authorize", browser[0], params=wider)
    assert _told(silent.headers["location"])["error"] == "consent_required"
    details = '[{"type":"charge_user","currency":"USD","limit":{"amount":"500","period":"month"}}]'
    richer = oauth.question(app, "relay", prompt="none", authorization_details=details)
    silent = await oauth.visit("/oauth/authorize", browser[0], params=richer)
    assert _told(silent.headers["location"])["error"] == "consent_required"


async def test_an_apps_token_opens_no_management_route(oauth: Any) -> None:
    app, secret = await oauth.app()
    tokens = await oauth.tokens(app, secret, *app.scopes)
    bearer = {"authorization": f"Bearer {tokens['access_token']}"}
    (grant,) = await oauth.rows("SELECT id FROM grants")
    service = oauth.http._transport.app
    paths = sorted({route.path for route in service.routes if route.path.startswith("/api/oauth")})
    assert "/api/oauth/apps" in paths
    assert any(path.startswith("/api/oauth/grants") for path in paths)
    for path in [*paths, "/api/v1/auth/keys/code"]:
        concrete = "/".join(str(grant["id"]) if "{" in part else part for part in path.split("/"))
        for method in METHODS:
            body = {"limit": "1000000", "scopes": ["relay"]}
            bare = await oauth.http.request(method, concrete, json=body, headers=bearer)
            assert bare.status_code in (401, 405), (method, path, bare.text)
            signed = await oauth.http.request(method, concrete, json=body, headers=bearer | oauth.grantee())
            assert signed.status_code in (403, 405), (method, path, signed.text)
    (after,) = await oauth.rows("SELECT limit_nano, revoked_at FROM grants")
    assert (after["limit_nano"], after["revoked_at"]) == (5_000_000_000, None)


async def test_no_secret_lies_in_a_log_an_event_an_error_or_a_table(
    oauth: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    dpop_key = ECKey.generate_key("P-256")
    app, secret = await oauth.app()
    browser = oauth.people.sign_in()
    state, nonce = "a-state-that-is-the-apps-own", "a-nonce-that-is-the-apps-own"
    code = await oauth.authorize(
        app, "openid", "relay", "offline_access", browser=browser, state=state, nonce=nonce
    )
    proof = oauth.proof(dpop_key)
    wrong = await oauth.redeem(app, "tos_" + "w" * 43, code)
    tokens = (await oauth.redeem(app, secret, code, headers=proof)).json()
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    renewed = (await oauth.ask("/oauth/token", app, secret, headers=oauth.proof(dpop_key), **form)).json()
    answers = [wrong]
    oauth.clock.advance(60)
    answers.append(await oauth.ask("/oauth/token", app, secret, headers=oauth.proof(dpop_key), **form))
    answers.append(await oauth.redeem(app, secret, code))
    device = (await oauth.ask("/oauth/device_authorization", app, secret, scope="relay")).json()
    poll = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code"}
    answers.append(await oauth.ask("/oauth/token", app, secret, device_code=device["device_code"], **poll))
    headers = {"authorization": f"Bearer {renewed['access_token']}"}
    answers.append(await oauth.http.get("/oauth/userinfo", headers=headers))
    answers.append(await oauth.http.get("/oauth/userinfo", headers={"authorization": "Bearer toa_guess"}))
    secrets = {
        "client secret": secret,
        "session": browser[0],
        "csrf": browser[1].csrf,
        "code": code,
        "verifier": VERIFIER,
        "access token": tokens["access_token"],
        "refresh token": tokens["refresh_token"],
        "second access token": renewed["access_token"],
        "second refresh token": renewed["refresh_token"],
        "id token": tokens["id_token"],
        "device code": device["device_code"],
        "user code": device["user_code"],
        "proof": proof["dpop"],
    }
    await oauth.events(2)
    logs = "\n".join([caplog.text, *(repr(vars(record)) for record in caplog.records)])
    stream = await oauth.bus.jetstream.streams_info()
    messages = sum(info.state.messages for info in stream)
    subscription = await oauth.bus.jetstream.subscribe("oauth.>", ordered_consumer=True)
    heard = [await subscription.next_msg(timeout=10) for _ in range(messages)]
    events = "\n".join(f"{message.subject} {message.headers} {message.data!r}" for message in heard)
    errors = "\n".join(answer.text + str(answer.headers) for answer in answers)
    tables = await oauth.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    stored = [str(await oauth.rows(f'SELECT t::text FROM "{row["tablename"]}" t')) for row in tables]  # noqa: S608
    for where, text in (("logs", logs), ("events", events), ("errors", errors), ("tables", "".join(stored))):
        for name, value in secrets.items():
            assert value not in text, f"the {name} lies in the {where}"
            assert value.encode().hex() not in text, f"the {name} lies in the {where}"
    assert caplog.records
    assert "oauth.grant.created.v1" in events
    assert "a-nonce-that-is-the-apps-own" in "".join(stored), "the search finds what is there"
