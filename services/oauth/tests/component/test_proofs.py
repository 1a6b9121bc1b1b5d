"""DPoP: tokens that count only with a proof by the key they are bound to (RFC 9449)."""

import asyncio
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey, OKPKey

from common.kit.ids import uuid7
from oauth.domain.errors import (
    InsufficientScopeError,
    InvalidProofError,
    InvalidTokenError,
    MissingTokenError,
)

PATH = "/oauth/v1/charges"


def _key() -> ECKey:
    return ECKey.generate_key("P-256")


def _error(answer: httpx.Response) -> str:
    assert answer.status_code == 400, answer.text
    code: str = answer.json()["error"]
    return code


async def _refresh(oauth: Any, app: Any, secret: str, token: str, **headers: str) -> httpx.Response:
    form = {"grant_type": "refresh_token", "refresh_token": token}
    answer: httpx.Response = await oauth.ask("/oauth/token", app, secret, headers=headers, **form)
    return answer


async def _check(oauth: Any, headers: dict[str, str], scope: str = "charge", method: str = "GET") -> Any:
    """As a resource of this service does."""
    proofs = [headers["dpop"]] if "dpop" in headers else []
    return await oauth.state.bearers.check(headers.get("authorization"), proofs, method, PATH, scope)


async def test_a_proof_at_the_token_endpoint_binds_the_token_to_its_key(oauth: Any) -> None:
    app, secret = await oauth.app()
    key = _key()
    told = (await oauth.redeem(app, secret, await oauth.code(app), oauth.proof(key))).json()
    assert told["token_type"] == "DPoP"
    seen = (await oauth.ask("/oauth/introspect", app, secret, token=told["access_token"])).json()
    assert seen["cnf"] == {"jkt": key.thumbprint()}
    assert seen["token_type"] == "DPoP"


async def test_a_wrong_proof_is_invalid_dpop_proof_and_leaves_the_code(oauth: Any) -> None:
    app, secret = await oauth.app()
    key, code = _key(), await oauth.code(app)
    now = int(oauth.clock.time())
    wrong: list[dict[str, Any]] = [
        {"htm": "GET"},
        {"htm": "post"},
        {"htu": "https://evil.example/oauth/token"},
        {"htu": "http://127.0.0.1:8080/oauth/revoke"},
        {"htu": "http://127.0.0.1:8081/oauth/token"},
        {"iat": now - 301},
        {"iat": now + 301},
        {"iat": str(now)},
        {"iat": True},
        {"jti": ""},
        {"jti": "x" * 256},
        {"jti": 7},
    ]
    for claims in wrong:
        answer = await oauth.redeem(app, secret, code, oauth.proof(key, **claims))
        assert _error(answer) == "invalid_dpop_proof", claims
    for text in ("", "a", "a.b.c", "é.é.é", "x" * 10_000):
        answer = await oauth.redeem(app, secret, code, {"dpop": text.encode()})
        assert _error(answer) == "invalid_dpop_proof", text
    assert (await oauth.redeem(app, secret, code, oauth.proof(key))).status_code == 200


async def test_two_dpop_headers_are_refused_as_rfc_9449_section_4_3_says(oauth: Any) -> None:
    app, secret = await oauth.app()
    form = {"grant_type": "authorization_code", "code": await oauth.code(app)}
    form |= {"client_id": app.client_id, "client_secret": secret}
    headers = [("dpop", oauth.proof(_key())["dpop"]), ("dpop", oauth.proof(_key())["dpop"])]
    assert _error(await oauth.http.post("/oauth/token", data=form, headers=headers)) == "invalid_dpop_proof"


async def test_a_proof_counts_once_even_on_two_replicas_at_once(bare_oauth: Any) -> None:
    oauth = bare_oauth
    replicas = [await oauth.start_replica(), await oauth.start_replica()]
    app, secret = await oauth.app()
    proof = oauth.proof(_key())
    codes = [await oauth.code(app) for _ in range(10)]

    async def use(number: int) -> httpx.Response:
        form = {"grant_type": "authorization_code", "code": codes[number], "client_id": app.client_id}
        form |= {"client_secret": secret, "code_verifier": "verifier-of-the-tests-of-at-least-43-characters"}
        answer: httpx.Response = await replicas[number % 2].post("/oauth/token", data=form, headers=proof)
        return answer

    answers = await asyncio.gather(*(use(number) for number in range(10)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 9
    assert {_error(answer) for answer in answers if answer.is_error} == {"invalid_dpop_proof"}


async def test_a_code_bound_by_dpop_jkt_is_used_with_that_key_only(oauth: Any) -> None:
    app, secret = await oauth.app()
    key, other = _key(), _key()
    jkt = key.thumbprint()
    wrong: list[dict[str, str]] = [oauth.proof(other), {}]
    for headers in wrong:
        answer = await oauth.redeem(app, secret, await oauth.code(app, dpop_jkt=jkt), headers)
        assert _error(answer) == "invalid_grant"
    answer = await oauth.redeem(app, secret, await oauth.code(app, dpop_jkt=jkt), oauth.proof(key))
    assert answer.json()["token_type"] == "DPoP"


async def test_an_app_that_requires_dpop_gets_no_token_without_a_proof(oauth: Any) -> None:
    app, secret = await oauth.app(require_dpop=True)
    code = await oauth.code(app)
    assert _error(await oauth.redeem(app, secret, code)) == "invalid_dpop_proof"
    assert (await oauth.redeem(app, secret, code, oauth.proof(_key()))).status_code == 200


async def test_refresh_tokens_of_a_public_app_are_bound_to_the_first_key_it_proved(oauth: Any) -> None:
    app, _ = await oauth.app("none")
    key = _key()
    first = (await oauth.redeem(app, "", await oauth.code(app), oauth.proof(key))).json()["refresh_token"]
    assert _error(await _refresh(oauth, app, "", first)) == "invalid_grant"
    assert _error(await _refresh(oauth, app, "", first, **oauth.proof(_key()))) == "invalid_grant"
    second = (await _refresh(oauth, app, "", first, **oauth.proof(key))).json()
    assert second["token_type"] == "DPoP"
    assert (await _refresh(oauth, app, "", second["refresh_token"], **oauth.proof(key))).status_code == 200


async def test_an_app_that_authenticates_may_change_its_key(oauth: Any) -> None:
    app, secret = await oauth.app()
    told = (await oauth.redeem(app, secret, await oauth.code(app), oauth.proof(_key()))).json()
    fresh = await _refresh(oauth, app, secret, told["refresh_token"], **oauth.proof(_key()))
    assert fresh.json()["token_type"] == "DPoP"


async def test_a_bound_token_opens_a_resource_with_its_proof_only(oauth: Any) -> None:
    app, secret = await oauth.app()
    key = _key()
    token = (await oauth.redeem(app, secret, await oauth.code(app), oauth.proof(key))).json()["access_token"]
    dpop = {"authorization": f"DPoP {token}"}
    live = await _check(oauth, dpop | oauth.proof(key, "GET", PATH, token))
    assert live.token.jkt == key.thumbprint()
    proof = oauth.proof(key, "GET", PATH, token)
    await _check(oauth, dpop | proof)
    wrong = [
        (proof, InvalidProofError),
        (oauth.proof(_key(), "GET", PATH, token), InvalidProofError),
        (oauth.proof(key, "GET", PATH), InvalidProofError),
        (oauth.proof(key, "GET", PATH, token + "x"), InvalidProofError),
        (oauth.proof(key, "POST", PATH, token), InvalidProofError),
        ({}, InvalidProofError),
        ({"authorization": f"Bearer {token}"} | oauth.proof(key, "GET", PATH, token), InvalidTokenError),
    ]
    for headers, error in wrong:
        with pytest.raises(error) as caught:
            await _check(oauth, dpop | headers)
        assert caught.value.error_status == 401


async def test_an_unbound_token_opens_a_resource_as_bearer_within_its_scope(oauth: Any) -> None:
    app, secret = await oauth.app()
    token = (await oauth.tokens(app, secret))["access_token"]
    live = await _check(oauth, {"authorization": f"bearer  {token}"})
    assert live.app == app
    refusals = [
        ({}, "charge", MissingTokenError),
        ({"authorization": "Basic YTpi"}, "charge", MissingTokenError),
        ({"authorization": "Bearer"}, "charge", MissingTokenError),
        ({"authorization": "Bearer sk-something"}, "charge", InvalidTokenError),
        ({"authorization": f"DPoP {token}"}, "charge", InvalidTokenError),
        ({"authorization": f"Bearer {token}"}, "balance", InsufficientScopeError),
    ]
    for headers, scope, error in refusals:
        with pytest.raises(error):
            await _check(oauth, headers, scope)
    oauth.clock.advance(3600)
    with pytest.raises(InvalidTokenError):
        await _check(oauth, {"authorization": f"Bearer {token}"})


async def test_a_proof_by_a_key_that_is_weak_private_or_shared_is_refused(oauth: Any) -> None:
    app, secret = await oauth.app()
    key = _key()
    good = oauth.proof(key)["dpop"]
    public = key.as_dict(private=False)
    for jwk in (
        key.as_dict(private=True),
        {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I"},
        public | {"x": public["y"]},
        public | {"crv": "P-521"},
        public | {"n": "A" * 800},
        {"kty": "RSA", "n": "AQAB" * 43, "e": "AQAB"},
        {"kty": "RSA", "n": "AQAB" * 100, "e": "AQAB" * 10},
        {"kty": "EC"},
        "text",
        None,
        OKPKey.generate_key("X25519").as_dict(private=False),
    ):
        proof = oauth.proof(key, header={"jwk": jwk})["dpop"]
        answer = await oauth.redeem(app, secret, "toc_x", {"dpop": proof})
        assert _error(answer) == "invalid_dpop_proof", jwk
    for header in ({"typ": "JWT"}, {"alg": "HS256"}, {"alg": "none"}, {"crit": ["x"], "x": uuid7()}):
        answer = await oauth.redeem(app, secret, "toc_x", oauth.proof(key, header=header))
        assert _error(answer) == "invalid_dpop_proof", header
    body = good.rpartition(".")[0]
    assert _error(await oauth.redeem(app, secret, "toc_x", {"dpop": f"{body}.AAAA"})) == "invalid_dpop_proof"
    assert _error(await oauth.redeem(app, secret, "toc_x", {"dpop": f"{body}."})) == "invalid_dpop_proof"
