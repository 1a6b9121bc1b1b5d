"""OpenID Connect: discovery, ID tokens, userinfo."""

from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from common.kit.ids import uuid7
from oauth.domain.grants import Person
from oauth.domain.subjects import SUBJECT_PREFIX, pairwise_subject

ISSUER = "http://127.0.0.1:8080"
USERINFO = "/oauth/userinfo"


async def _claims(oauth: Any, id_token: str) -> dict[str, Any]:
    keys = KeySet.import_key_set((await oauth.http.get("/.well-known/jwks.json")).json())
    token = jwt.decode(id_token, keys, algorithms=["RS256"])
    assert token.header["kid"]
    return token.claims


async def _userinfo(oauth: Any, tokens: dict[str, Any], method: str = "GET") -> Any:
    headers = {"authorization": f"Bearer {tokens['access_token']}"}
    return await oauth.http.request(method, USERINFO, headers=headers)


async def test_discovery_names_what_is_there(oauth: Any) -> None:
    told = (await oauth.http.get("/.well-known/openid-configuration")).json()
    required = {
        "issuer",
        "authorization_endpoint",
        "token_endpoint",
        "jwks_uri",
        "response_types_supported",
        "subject_types_supported",
        "id_token_signing_alg_values_supported",
    }
    assert required <= told.keys()
    assert told["issuer"] == ISSUER
    assert told["subject_types_supported"] == ["pairwise"]
    assert told["id_token_signing_alg_values_supported"] == ["RS256"]
    for name in ("jwks_uri", "userinfo_endpoint"):
        path = told[name].removeprefix(ISSUER)
        assert (await oauth.http.get(path)).status_code in (200, 401), name
    same = (await oauth.http.get("/.well-known/oauth-authorization-server")).json()
    assert same == told


async def test_an_id_token_says_who_where_and_when(oauth: Any) -> None:
    app, secret = await oauth.app()
    ann = Person(uuid7(), uuid7(), "ann@example.com")
    tokens = await oauth.tokens(app, secret, "openid", "email", person=ann, nonce="n-0S6_WzA2Mj")
    claims = await _claims(oauth, tokens["id_token"])
    now = int(oauth.clock.now().timestamp())
    assert claims == {
        "iss": ISSUER,
        "sub": pairwise_subject(oauth.digester, app.client_id, ann.user),
        "aud": app.client_id,
        "azp": app.client_id,
        "iat": now,
        "exp": now + 3600,
        "auth_time": now,
        "nonce": "n-0S6_WzA2Mj",
    }


async def test_without_openid_there_is_no_id_token_and_no_userinfo(oauth: Any) -> None:
    app, secret = await oauth.app()
    tokens = await oauth.tokens(app, secret, "relay", "email")
    assert "id_token" not in tokens
    answer = await _userinfo(oauth, tokens)
    assert answer.status_code == 403
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


async def test_userinfo_tells_the_address_only_with_its_scope(oauth: Any) -> None:
    app, secret = await oauth.app()
    ann = Person(uuid7(), uuid7(), "ann@example.com")
    plain = await oauth.tokens(app, secret, "openid", person=ann)
    sub = (await _claims(oauth, plain["id_token"]))["sub"]
    for method in ("GET", "POST"):
        answer = await _userinfo(oauth, plain, method)
        assert (answer.status_code, answer.json()) == (200, {"sub": sub})
        assert answer.headers["cache-control"] == "no-store"
    bob = Person(uuid7(), uuid7(), "bob@example.com")
    told = (await _userinfo(oauth, await oauth.tokens(app, secret, "openid", "email", person=bob))).json()
    assert (told["email"], told["email_verified"]) == ("bob@example.com", False)
    assert told["sub"] != sub


async def test_profile_tells_what_the_address_begins_with_and_no_more(oauth: Any) -> None:
    app, secret = await oauth.app()
    ann = Person(uuid7(), uuid7(), "ann@example.com")
    told = (await _userinfo(oauth, await oauth.tokens(app, secret, "openid", "profile", person=ann))).json()
    assert told == {"sub": told["sub"], "name": "ann", "preferred_username": "ann"}
    nameless = Person(uuid7(), uuid7())
    tokens = await oauth.tokens(app, secret, "openid", "profile", person=nameless)
    assert (await _userinfo(oauth, tokens)).json().keys() == {"sub"}


async def test_two_apps_know_one_person_by_two_names_and_neither_by_our_id(oauth: Any) -> None:
    ann = Person(uuid7(), uuid7(), "ann@example.com")
    subs = []
    for _ in range(2):
        app, secret = await oauth.app()
        told = (await _userinfo(oauth, await oauth.tokens(app, secret, "openid", person=ann))).text
        assert ann.user not in told
        assert ann.account not in told
        subs.append(told)
    assert subs[0] != subs[1]
    name = pairwise_subject(oauth.digester, "app", ann.user)
    assert name.startswith(SUBJECT_PREFIX)
    assert len(name) == 36


async def test_userinfo_without_a_token_that_counts_is_refused(oauth: Any) -> None:
    nobody = await oauth.http.get(USERINFO)
    assert nobody.status_code == 401
    assert "error" not in nobody.headers["www-authenticate"]
    wrong = await _userinfo(oauth, {"access_token": "toa_wrong"})
    assert wrong.status_code == 401
    assert 'error="invalid_token"' in wrong.headers["www-authenticate"]


async def test_userinfo_takes_a_token_bound_to_a_key_with_its_proof_only(oauth: Any) -> None:
    app, secret = await oauth.app()
    key = ECKey.generate_key("P-256", private=True)
    code = await oauth.code(app, "openid", dpop_jkt=key.thumbprint())
    tokens = (await oauth.redeem(app, secret, code, oauth.proof(key))).json()
    assert tokens["token_type"] == "DPoP"
    assert (await _userinfo(oauth, tokens)).status_code == 401
    access = tokens["access_token"]
    headers = {"authorization": f"DPoP {access}"} | oauth.proof(key, "GET", USERINFO, access)
    assert (await oauth.http.get(USERINFO, headers=headers)).status_code == 200
