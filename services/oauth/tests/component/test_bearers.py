"""What a resource answers to a token that does not open it (RFC 6750 section 3, RFC 9449 section 7)."""

from typing import Any

from joserfc.jwk import ECKey

PATH = "/oauth/userinfo"
BEARER = 'Bearer realm="tollway"'
DPOP = 'DPoP realm="tollway", algs="ES256 ES384 PS256 RS256 Ed25519"'


async def test_without_a_token_the_challenge_names_both_schemes_and_no_error(oauth: Any) -> None:
    for headers in ({}, {"authorization": "Basic YTpi"}, {"authorization": "Bearer "}):
        answer = await oauth.http.get(PATH, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == f"{BEARER}, {DPOP}"
        assert answer.headers["cache-control"] == "no-store"
    query = await oauth.http.get(f"{PATH}?access_token=toa_x")
    form = await oauth.http.post(PATH, data={"access_token": "toa_x"})
    assert (query.status_code, form.status_code) == (401, 401)


async def test_a_token_that_does_not_count_is_invalid_token(oauth: Any) -> None:
    app, secret = await oauth.app()
    told = await oauth.tokens(app, secret, "openid", "offline_access")
    token = told["access_token"]
    assert (await oauth.http.get(PATH, headers={"authorization": f"Bearer {token}"})).status_code == 200
    for text in ("toa_unknown", "sk-a-key", told["refresh_token"], token + "x", token.upper()):
        answer = await oauth.http.get(PATH, headers={"authorization": f"Bearer {text}"})
        assert answer.status_code == 401
        assert answer.json()["code"] == "invalid_token"
        challenge = answer.headers["www-authenticate"]
        assert challenge.startswith(f'{BEARER}, error="invalid_token", error_description="')
        assert challenge.endswith(f", {DPOP}")
        assert text not in challenge + answer.text


async def test_a_token_without_the_scope_is_insufficient_scope_and_told_which(oauth: Any) -> None:
    app, secret = await oauth.app()
    token = (await oauth.tokens(app, secret, "relay"))["access_token"]
    answer = await oauth.http.get(PATH, headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "insufficient_scope"
    challenge = answer.headers["www-authenticate"]
    assert 'error="insufficient_scope"' in challenge
    assert 'scope="openid"' in challenge


async def test_a_bound_token_without_its_proof_is_refused_in_the_scheme_it_came_with(oauth: Any) -> None:
    app, secret = await oauth.app()
    key = ECKey.generate_key("P-256")
    code = await oauth.code(app, "openid")
    token = (await oauth.redeem(app, secret, code, headers=oauth.proof(key))).json()["access_token"]
    proof = oauth.proof(key, "GET", PATH, token)
    assert (await oauth.http.get(PATH, headers={"authorization": f"DPoP {token}"} | proof)).status_code == 200
    as_bearer = await oauth.http.get(PATH, headers={"authorization": f"Bearer {token}"})
    assert as_bearer.status_code == 401
    assert as_bearer.headers["www-authenticate"].startswith(f'{BEARER}, error="invalid_token"')
    none_and_used: list[dict[str, str]] = [{}, proof]
    for headers in none_and_used:
        answer = await oauth.http.get(PATH, headers={"authorization": f"DPoP {token}"} | headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith(f'{BEARER}, {DPOP}, error="invalid_dpop_proof"')
