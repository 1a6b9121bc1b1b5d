"""How apps prove who they are, at each endpoint that they call by themselves (RFC 6749, RFC 7523)."""

import asyncio
import base64
import hmac
from typing import Any

import httpx
import msgspec
from joserfc import jwt
from joserfc.jwk import ECKey

from common.contracts.errors import UnavailableError
from common.kit.ids import uuid7

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
PATHS = ("/oauth/token", "/oauth/revoke", "/oauth/introspect")
UNKNOWN = {"grant_type": "authorization_code", "code": "toc_unknown", "token": "toa_unknown"}


def _basic(client_id: str, secret: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}


def _is_let_in(answer: httpx.Response) -> bool:
    """Whether the refusal, if any, is about the grant and not about the app."""
    return answer.status_code == 200 or answer.json()["error"] == "invalid_grant"


def _is_shut_out(answer: httpx.Response) -> bool:
    """401 with a challenge, as RFC 6749 section 5.2 and RFC 9110 section 15.5.2 say."""
    challenge = answer.headers.get("www-authenticate", "")
    told = (answer.status_code, answer.json()["error"], challenge.startswith('Basic realm="tollway"'))
    return told == (401, "invalid_client", True)


def _segment(part: dict[str, Any]) -> bytes:
    return base64.urlsafe_b64encode(msgspec.json.encode(part)).rstrip(b"=")


class Signer:
    """An app's key, and assertions by it."""

    def __init__(self, oauth: Any, client_id: str) -> None:
        self.oauth = oauth
        self.client_id = client_id
        self.key = ECKey.generate_key("P-256", {"kid": "k1"})
        other = ECKey.generate_key("P-256", {"kid": "k2"})
        keys = [other.as_dict(private=False), self.key.as_dict(private=False)]
        self.jwks = msgspec.json.encode({"keys": keys}).decode()

    def form(self, header: dict[str, Any] | None = None, **claims: Any) -> dict[str, str]:
        """The parameters of RFC 7523 section 2.2; None takes a claim away."""
        now = int(self.oauth.clock.time())
        own = {"iss": self.client_id, "sub": self.client_id, "aud": "http://127.0.0.1:8080"}
        every = own | {"jti": uuid7(), "iat": now, "exp": now + 60} | claims
        told = {name: value for name, value in every.items() if value is not None}
        assertion = jwt.encode({"alg": "ES256", "kid": "k1"} | (header or {}), told, self.key)
        return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}


async def _signing_app(oauth: Any) -> Signer:
    signer = Signer(oauth, f"app-{uuid7()}")
    await oauth.app("private_key_jwt", client_id=signer.client_id, jwks=signer.jwks)
    return signer


async def test_a_secret_is_taken_by_header_or_by_form_however_the_app_is_registered(oauth: Any) -> None:
    for method in ("client_secret_basic", "client_secret_post"):
        app, secret = await oauth.app(method)
        by_form = {"client_id": app.client_id, "client_secret": secret}
        for path in PATHS:
            assert _is_let_in(await oauth.http.post(path, data=UNKNOWN | by_form))
            header = _basic(app.client_id, secret)
            assert _is_let_in(await oauth.http.post(path, data=UNKNOWN, headers=header))
            named = UNKNOWN | {"client_id": app.client_id}
            assert _is_let_in(await oauth.http.post(path, data=named, headers=header))


async def test_wrong_credentials_are_invalid_client_at_every_endpoint(oauth: Any) -> None:
    app, secret = await oauth.app()
    disabled, own = await oauth.app(disabled_at=oauth.clock.now(), disabled_by="owner")
    public, _ = await oauth.app("none")
    signer = await _signing_app(oauth)
    forms: list[dict[str, str]] = [
        {},
        {"client_id": app.client_id},
        {"client_secret": secret},
        {"client_id": "unknown", "client_secret": secret},
        {"client_id": app.client_id, "client_secret": secret + "x"},
        {"client_id": app.client_id.upper(), "client_secret": secret},
        {"client_id": disabled.client_id, "client_secret": own},
        {"client_id": public.client_id, "client_secret": secret},
        {"client_id": signer.client_id},
        {"client_id": signer.client_id, "client_secret": secret},
        {"client_id": "x" * 201},
        {"client_id": "\u202e"},
    ]
    headers = [
        _basic(app.client_id, "wrong"),
        _basic(app.client_id, ""),
        _basic("unknown", secret),
        {"authorization": "Basic !"},
        {"authorization": "Basic " + base64.b64encode(b"no colon").decode()},
        {"authorization": "Basic " + base64.b64encode(b"\xff:\xff").decode()},
        {"authorization": "Basic"},
        {"authorization": f"Bearer {secret}"},
        {"authorization": ""},
    ]
    for path in PATHS:
        for form in forms:
            assert _is_shut_out(await oauth.http.post(path, data=UNKNOWN | form)), (path, form)
        for header in headers:
            assert _is_shut_out(await oauth.http.post(path, data=UNKNOWN, headers=header)), (path, header)


async def test_a_public_app_says_who_it_is_and_may_not_introspect(oauth: Any) -> None:
    app, _ = await oauth.app("none")
    form = UNKNOWN | {"client_id": app.client_id}
    assert _is_let_in(await oauth.http.post("/oauth/token", data=form))
    assert _is_let_in(await oauth.http.post("/oauth/revoke", data=form))
    by_header = _basic(app.client_id, "")
    assert _is_let_in(await oauth.http.post("/oauth/token", data=UNKNOWN, headers=by_header))
    assert _is_shut_out(await oauth.http.post("/oauth/introspect", data=form))


async def test_two_ways_to_authenticate_at_once_are_an_invalid_request(oauth: Any) -> None:
    app, secret = await oauth.app()
    signer = await _signing_app(oauth)
    by_form = {"client_id": app.client_id, "client_secret": secret}
    for path in PATHS:
        for form, headers in (
            (by_form, _basic(app.client_id, secret)),
            (signer.form(), _basic(app.client_id, secret)),
            (by_form | signer.form(), {}),
            ({"client_id": signer.client_id}, _basic(app.client_id, secret)),
            ({"client_id": app.client_id} | signer.form(), {}),
            ({"client_assertion": "a.b.c"}, {}),
            ({"client_assertion_type": ASSERTION_TYPE}, {}),
            (signer.form() | {"client_assertion_type": "urn:ietf:params:oauth:saml2-bearer"}, {}),
        ):
            answer = await oauth.http.post(path, data=UNKNOWN | form, headers=headers)
            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request"), form


async def test_two_secrets_live_while_one_replaces_the_other(oauth: Any) -> None:
    secrets = ("tos_new", "tos_old")
    app, _ = await oauth.app(secrets=tuple(oauth.digester.digest(secret) for secret in secrets))
    for secret in secrets:
        assert _is_let_in(await oauth.ask("/oauth/token", app, secret, **UNKNOWN))
    assert _is_shut_out(await oauth.ask("/oauth/token", app, "tos_older", **UNKNOWN))


async def test_an_assertion_by_the_apps_key_proves_the_app(oauth: Any) -> None:
    signer = await _signing_app(oauth)
    for audience in ("http://127.0.0.1:8080", "http://127.0.0.1:8080/oauth/token", ["http://127.0.0.1:8080"]):
        for path in PATHS:
            form = UNKNOWN | signer.form(aud=audience)
            assert _is_let_in(await oauth.http.post(path, data=form))
            form = UNKNOWN | signer.form(aud=audience) | {"client_id": signer.client_id}
            assert _is_let_in(await oauth.http.post(path, data=form))


async def test_an_assertion_that_is_wrong_in_anything_proves_nothing(oauth: Any) -> None:
    signer = await _signing_app(oauth)
    other, _ = await oauth.app()
    now = int(oauth.clock.time())
    claims: list[dict[str, Any]] = [
        {"iss": other.client_id},
        {"iss": None},
        {"sub": other.client_id},
        {"sub": None},
        {"sub": "unknown", "iss": "unknown"},
        {"aud": "https://evil.example"},
        {"aud": ["http://127.0.0.1:8080", "https://evil.example"]},
        {"aud": []},
        {"aud": None},
        {"aud": "http://127.0.0.1:8080/"},
        {"exp": now - 61},
        {"exp": now + 3661},
        {"exp": None},
        {"exp": str(now + 60)},
        {"iat": now + 120},
        {"nbf": now + 120},
        {"jti": None},
    ]
    for claim in claims:
        answer = await oauth.http.post("/oauth/token", data=UNKNOWN | signer.form(**claim))
        assert _is_shut_out(answer), claim
    for kid in ("k2", "k3", ""):
        form = signer.form({"kid": kid})
        assert _is_shut_out(await oauth.http.post("/oauth/token", data=UNKNOWN | form)), kid


async def test_an_assertion_made_with_the_public_key_as_a_shared_secret_proves_nothing(oauth: Any) -> None:
    signer = await _signing_app(oauth)
    now = int(oauth.clock.time())
    claims: dict[str, Any] = {"iss": signer.client_id, "sub": signer.client_id, "jti": "j", "exp": now + 60}
    claims["aud"] = "http://127.0.0.1:8080"
    body = _segment({"alg": "HS256", "kid": "k1"}) + b"." + _segment(claims)
    mac = hmac.digest(signer.key.as_pem(private=False), body, "sha256")
    for text in (
        f"{body.decode()}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}",
        f"{_segment({'alg': 'none', 'kid': 'k1'}).decode()}.{_segment(claims).decode()}.",
        "a.b.c",
        "x" * 9000,
    ):
        form = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": text}
        assert _is_shut_out(await oauth.http.post("/oauth/token", data=UNKNOWN | form))


async def test_an_assertion_counts_once_even_on_two_replicas_at_once(bare_oauth: Any) -> None:
    oauth = bare_oauth
    replicas = [await oauth.start_replica(), await oauth.start_replica()]
    signer = await _signing_app(oauth)
    form = UNKNOWN | signer.form()
    answers = await asyncio.gather(
        *(replicas[number % 2].post("/oauth/token", data=form) for number in range(10))
    )
    assert [_is_let_in(answer) for answer in answers].count(True) == 1
    assert [_is_shut_out(answer) for answer in answers].count(True) == 9


class Away:
    """Storage that is away."""

    async def find_apps(self, _client_ids: list[str]) -> None:
        raise UnavailableError("The database is away.", retry_after_s=1)


async def test_faults_of_ours_are_told_without_what_they_are(oauth: Any) -> None:
    app, secret = await oauth.app()
    await oauth.rows("ALTER TABLE apps RENAME TO apps_away")
    for path in PATHS:
        answer = await oauth.ask(path, app, secret, **UNKNOWN)
        assert (answer.status_code, answer.json()["error"]) == (500, "server_error")
        assert "apps" not in answer.text
    oauth.state.clients._store = Away()
    for path in PATHS:
        answer = await oauth.ask(path, app, secret, **UNKNOWN)
        assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
        assert answer.headers["retry-after"] == "1"
