"""OAuth clients of the Python world, as published, against the running suite; the test plays the person."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import requests
from authlib.integrations.httpx_client import OAuth2Client as AuthlibClient
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from joserfc import jwk, jwt
from requests_oauth2client import (
    BearerToken,
    DeviceAuthorizationPollingJob,
    DPoPToken,
    IdToken,
    OAuth2Client,
    PrivateKeyJwt,
)
from requests_oauthlib import OAuth2Session

from e2e.browsers import Browser, register_app
from e2e.suite import RunningSuite, eventually

REDIRECT_URI = "http://127.0.0.1:9999/callback"
SCOPE = "openid email relay offline_access"


@pytest.fixture
def browser(suite: RunningSuite) -> Iterator[Browser]:
    browser = Browser(suite, suite.person())
    yield browser
    browser.http.close()


@pytest.fixture(autouse=True)
def _without_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clients refuse http otherwise, even on the loopback."""
    for name in ("OAUTHLIB_INSECURE_TRANSPORT", "AUTHLIB_INSECURE_TRANSPORT"):
        monkeypatch.setenv(name, "1")


def _metadata(suite: RunningSuite) -> dict[str, Any]:
    told: dict[str, Any] = httpx.get(f"{suite.url}/.well-known/oauth-authorization-server").json()
    assert told["issuer"] == suite.url
    return told


def _is_refused(suite: RunningSuite, token: str) -> bool | None:
    answer = httpx.get(f"{suite.base_url}/models", headers={"authorization": f"Bearer {token}"})
    return True if answer.status_code == 401 else None


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_authlib(suite: RunningSuite, browser: Browser, method: str) -> None:
    app = register_app(browser.person, suite, redirect_uris=[REDIRECT_URI], auth_method=method)
    known = _metadata(suite)
    with AuthlibClient(
        app["client_id"],
        app["client_secret"],
        token_endpoint_auth_method=method,
        scope=SCOPE,
        redirect_uri=REDIRECT_URI,
        code_challenge_method="S256",
        token_endpoint=known["token_endpoint"],
    ) as client:
        verifier = "v" * 64
        url, state = client.create_authorization_url(
            known["authorization_endpoint"], code_verifier=verifier, nonce="nonce-1"
        )
        callback = browser.follow(url)
        token = client.fetch_token(authorization_response=callback, state=state, code_verifier=verifier)
        keys = jwk.KeySet.import_key_set(httpx.get(known["jwks_uri"]).json())
        claims = jwt.decode(token["id_token"], keys).claims
        assert (claims["iss"], claims["aud"], claims["nonce"]) == (suite.url, app["client_id"], "nonce-1")
        told = client.get(known["userinfo_endpoint"]).json()
        assert (told["sub"], told["email"]) == (claims["sub"], browser.person.email)
        assert client.get(f"{suite.base_url}/models").status_code == 200
        renewed = client.refresh_token()
        assert renewed["refresh_token"] != token["refresh_token"]
        asked = client.introspect_token(known["introspection_endpoint"], token=renewed["access_token"])
        assert asked.json()["active"] is True
        client.revoke_token(known["revocation_endpoint"], token=renewed["refresh_token"])
        asked = client.introspect_token(known["introspection_endpoint"], token=renewed["access_token"])
        assert asked.json() == {"active": False}
        eventually(lambda: _is_refused(suite, renewed["access_token"]), 1)


def test_authlib_with_a_key_instead_of_a_secret(suite: RunningSuite, browser: Browser) -> None:
    key = jwk.RSAKey.generate_key(2048, {"kid": "k1", "use": "sig", "alg": "RS256"})
    app = register_app(
        browser.person,
        suite,
        redirect_uris=[REDIRECT_URI],
        auth_method="private_key_jwt",
        jwks={"keys": [key.as_dict(private=False)]},
    )
    known = _metadata(suite)
    with AuthlibClient(
        app["client_id"],
        key.as_pem(private=True).decode(),
        token_endpoint_auth_method=PrivateKeyJWT(known["token_endpoint"], headers={"kid": "k1"}),
        scope="relay",
        redirect_uri=REDIRECT_URI,
        code_challenge_method="S256",
    ) as client:
        url, _ = client.create_authorization_url(known["authorization_endpoint"], code_verifier="v" * 64)
        callback = browser.follow(url)
        client.fetch_token(known["token_endpoint"], authorization_response=callback, code_verifier="v" * 64)
        assert client.get(f"{suite.base_url}/models").status_code == 200


def test_requests_oauthlib(suite: RunningSuite, browser: Browser) -> None:
    app = register_app(browser.person, suite, redirect_uris=[REDIRECT_URI])
    known = _metadata(suite)
    with OAuth2Session(
        app["client_id"], redirect_uri=REDIRECT_URI, scope=SCOPE.split(), pkce="S256"
    ) as client:
        url, _ = client.authorization_url(known["authorization_endpoint"])
        callback = browser.follow(url)
        token = client.fetch_token(
            known["token_endpoint"], authorization_response=callback, client_secret=app["client_secret"]
        )
        assert client.get(f"{suite.base_url}/models").status_code == 200
        assert client.get(known["userinfo_endpoint"]).json()["email"] == browser.person.email
        own = {"auth": (app["client_id"], app["client_secret"])}
        renewed = client.refresh_token(known["token_endpoint"], **own)
        assert renewed["refresh_token"] != token["refresh_token"]
        ended = client.post(known["revocation_endpoint"], data={"token": renewed["access_token"]}, **own)
        assert ended.status_code == 200
        eventually(lambda: _is_refused(suite, renewed["access_token"]), 1)


def _requests_client(suite: RunningSuite, auth: Any, **fields: Any) -> OAuth2Client:
    return OAuth2Client.from_discovery_endpoint(
        issuer=suite.url,
        url=f"{suite.url}/.well-known/openid-configuration",
        auth=auth,
        redirect_uri=REDIRECT_URI,
        testing=True,
        **fields,
    )


def test_requests_oauth2client_with_par_and_dpop(suite: RunningSuite, browser: Browser) -> None:
    """Without `openid`: this client cannot check an ID token that comes with a DPoP token."""
    app = register_app(browser.person, suite, redirect_uris=[REDIRECT_URI], require_dpop=True)
    client = _requests_client(suite, (app["client_id"], app["client_secret"]), dpop_bound_access_tokens=True)
    asked = client.authorization_request(scope="relay offline_access")
    assert asked.issuer == suite.url
    pushed = client.pushed_authorization_request(asked)
    response = asked.validate_callback(browser.follow(str(pushed)))
    token = client.authorization_code(response)
    assert isinstance(token, DPoPToken)
    assert requests.get(f"{suite.base_url}/models", auth=token, timeout=10).status_code == 200
    assert _is_refused(suite, str(token.access_token)), "a bound token is no Bearer token"
    renewed = client.refresh_token(token)
    assert isinstance(renewed, DPoPToken)
    told = client.introspect_token(renewed)
    assert told["active"]
    assert told["cnf"]["jkt"]
    assert client.revoke_refresh_token(renewed)
    assert client.introspect_token(renewed)["active"] is False


def test_requests_oauth2client_signs_a_person_in(suite: RunningSuite, browser: Browser) -> None:
    app = register_app(browser.person, suite, redirect_uris=[REDIRECT_URI], require_par=True)
    client = _requests_client(suite, (app["client_id"], app["client_secret"]))
    asked = client.authorization_request(scope=SCOPE, nonce="nonce-1")
    pushed = client.pushed_authorization_request(asked)
    token = client.authorization_code(asked.validate_callback(browser.follow(str(pushed))))
    assert isinstance(token.id_token, IdToken)
    told = client.userinfo(token)
    assert (told["sub"], told["email"]) == (token.id_token.subject, browser.person.email)


def test_requests_oauth2client_with_a_key_and_on_a_device(suite: RunningSuite, browser: Browser) -> None:
    key = jwk.ECKey.generate_key("P-256", {"kid": "k1", "use": "sig", "alg": "ES256"})
    app = register_app(
        browser.person,
        suite,
        redirect_uris=[REDIRECT_URI],
        auth_method="private_key_jwt",
        jwks={"keys": [key.as_dict(private=False)]},
    )
    client = _requests_client(
        suite,
        PrivateKeyJwt(app["client_id"], key.as_dict(private=True)),
        device_authorization_endpoint=_metadata(suite)["device_authorization_endpoint"],
    )
    shown = client.authorize_device(scope="relay")
    assert browser.allow_device(str(shown.verification_uri_complete))
    token = DeviceAuthorizationPollingJob(client, shown.device_code, interval=1)()
    assert isinstance(token, BearerToken)
    assert requests.get(f"{suite.base_url}/models", auth=token, timeout=10).status_code == 200


def test_a_response_of_another_issuer_is_told_apart(suite: RunningSuite, browser: Browser) -> None:
    app = register_app(browser.person, suite, redirect_uris=[REDIRECT_URI])
    client = _requests_client(suite, (app["client_id"], app["client_secret"]))
    asked = client.authorization_request(scope="relay")
    callback = browser.follow(str(asked))
    assert parse_qs(urlsplit(callback).query)["iss"] == [suite.url]
    denied = browser.follow(str(client.authorization_request(scope="relay email")), "deny")
    told = parse_qs(urlsplit(denied).query)
    assert (told["error"], told["iss"]) == (["access_denied"], [suite.url])
