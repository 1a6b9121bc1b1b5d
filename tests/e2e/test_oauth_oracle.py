"""The same requests to this suite and to npm oidc-provider: where the answers differ, the guide says why."""

import base64
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from common.testing.server_process import free_port
from e2e.browsers import register_app
from e2e.suite import RunningSuite
from e2e.test_oauth_clients_node import REDIRECT_URI, modules

__all__ = ["modules"]

CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
Told = tuple[int, str]
Probe = Callable[["Server"], httpx.Response]


class Server:
    """One of the two: an issuer with one confidential app, and its endpoints from discovery."""

    def __init__(self, issuer: str, client_id: str, client_secret: str) -> None:
        self.client_id = client_id
        self.auth = (client_id, client_secret)
        self.http = httpx.Client(timeout=30)
        told = self.http.get(f"{issuer}/.well-known/openid-configuration").json()
        self.endpoints = {name.removesuffix("_endpoint"): url for name, url in told.items()}

    def authorize(self, *extra: tuple[str, str], **changes: str | None) -> httpx.Response:
        """An authorization request that is right but for what is given."""
        right: dict[str, str | None] = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": REDIRECT_URI,
            "scope": "openid",
            "state": "s",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
        }
        pairs = [(name, value) for name, value in (right | changes).items() if value is not None]
        return self.http.get(self.endpoints["authorization"], params=[*pairs, *extra])

    def post(self, endpoint: str, **form: str) -> httpx.Response:
        """A form, as the app."""
        return self.http.post(self.endpoints[endpoint], data=form, auth=self.auth)

    def push(self, **changes: str) -> httpx.Response:
        """A pushed request that is right but for what is given."""
        values = {
            "client_id": self.client_id,
            "response_type": "code",
            "redirect_uri": REDIRECT_URI,
            "scope": "openid",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
        }
        form = {name: value for name, value in (values | changes).items() if value}
        return self.post("pushed_authorization_request", **form)

    def use_pushed(self, times: int) -> httpx.Response:
        """The answer to the last of so many uses of one pushed request."""
        query = {"client_id": self.client_id, "request_uri": self.push().json()["request_uri"]}
        for _ in range(times):
            answer = self.http.get(self.endpoints["authorization"], params=query)
        return answer


def _told(answer: httpx.Response) -> Told:
    """Status and error code; `page` is one for people, and what follows # came in the fragment."""
    where = answer.headers.get("location", "")
    if where.startswith(REDIRECT_URI):
        parts = urlsplit(where)
        mark, said = ("#", parts.fragment) if parts.fragment else ("", parts.query)
        return 303, mark + parse_qs(said)["error"][0]
    if where:
        return 303, "page"
    challenged = re.search(r'error="(\w+)"', answer.headers.get("www-authenticate", ""))
    if challenged:
        return answer.status_code, challenged[1]
    try:
        body = answer.json()
    except ValueError:
        return answer.status_code, "page" if "html" in answer.headers.get("content-type", "") else ""
    if "active" in body:
        return answer.status_code, f"active={body['active']}"
    return answer.status_code, str(body.get("error", "none"))


def _basic(server: Server) -> str:
    return base64.b64encode(":".join(server.auth).encode()).decode()


PROBES: dict[str, Probe] = {
    "a right request": lambda s: s.authorize(),
    "no PKCE": lambda s: s.authorize(code_challenge=None, code_challenge_method=None),
    "PKCE plain": lambda s: s.authorize(code_challenge_method="plain"),
    "unknown client": lambda s: s.authorize(client_id="nobody"),
    "redirect URI one character off": lambda s: s.authorize(redirect_uri=REDIRECT_URI + "/"),
    "response type token": lambda s: s.authorize(response_type="token"),
    "no response type": lambda s: s.authorize(response_type=None),
    "unknown scope": lambda s: s.authorize(scope="openid nonsense"),
    "scope twice": lambda s: s.authorize(("scope", "openid")),
    "prompt none, nobody signed in": lambda s: s.authorize(prompt="none"),
    "unknown request_uri": lambda s: s.authorize(request_uri="urn:ietf:params:oauth:request_uri:x"),
    "pushed": lambda s: s.push(),
    "pushed without a client_id": lambda s: s.push(client_id=""),
    "pushed with a request_uri": lambda s: s.push(request_uri="urn:x"),
    "pushed without PKCE": lambda s: s.push(code_challenge="", code_challenge_method=""),
    "pushed, used once": lambda s: s.use_pushed(1),
    "wrong secret": lambda s: s.http.post(
        s.endpoints["token"], data={"grant_type": "authorization_code"}, auth=(s.client_id, "wrong")
    ),
    "two client authentications": lambda s: s.post(
        "token", grant_type="authorization_code", code="x", client_secret="x"
    ),
    "unknown code": lambda s: s.post(
        "token", grant_type="authorization_code", code="x", redirect_uri=REDIRECT_URI, code_verifier="v" * 43
    ),
    "no code": lambda s: s.post("token", grant_type="authorization_code"),
    "password grant": lambda s: s.post("token", grant_type="password", username="a", password="b"),
    "no grant type": lambda s: s.post("token"),
    "unknown refresh token": lambda s: s.post("token", grant_type="refresh_token", refresh_token="x"),
    "unknown device code": lambda s: s.post(
        "token", grant_type="urn:ietf:params:oauth:grant-type:device_code", device_code="x"
    ),
    "JSON body": lambda s: s.http.post(
        s.endpoints["token"], json={"grant_type": "authorization_code"}, auth=s.auth
    ),
    "parameter twice": lambda s: s.http.post(
        s.endpoints["token"],
        content="grant_type=refresh_token&grant_type=refresh_token&refresh_token=x",
        headers={
            "content-type": "application/x-www-form-urlencoded",
            "authorization": f"Basic {_basic(s)}",
        },
    ),
    "bad DPoP proof": lambda s: s.http.post(
        s.endpoints["token"],
        data={"grant_type": "refresh_token", "refresh_token": "x"},
        auth=s.auth,
        headers={"dpop": "x.y.z"},
    ),
    "introspection of nothing known": lambda s: s.post("introspection", token="x"),
    "introspection without a token": lambda s: s.post("introspection"),
    "introspection by nobody": lambda s: s.http.post(s.endpoints["introspection"], data={"token": "x"}),
    "revocation of nothing known": lambda s: s.post("revocation", token="x"),
    "revocation without a token": lambda s: s.post("revocation"),
    "userinfo without a token": lambda s: s.http.get(s.endpoints["userinfo"]),
    "userinfo with an unknown token": lambda s: s.http.get(
        s.endpoints["userinfo"], headers={"authorization": "Bearer x"}
    ),
    "device authorization": lambda s: s.post("device_authorization", scope="openid"),
}
DIFFERENT: dict[str, tuple[Told, Told]] = {
    "response type token": ((303, "unsupported_response_type"), (303, "#unsupported_response_type")),
    "unknown scope": ((303, "invalid_scope"), (303, "page")),
    "unknown request_uri": ((400, "page"), (303, "invalid_request_uri")),
    "pushed without a client_id": ((201, "none"), (400, "invalid_request")),
    "pushed with a request_uri": ((400, "invalid_request"), (400, "request_uri_not_supported")),
    "userinfo without a token": ((401, "none"), (401, "invalid_token")),
    "introspection by nobody": ((401, "invalid_client"), (400, "invalid_request")),
}
"""Ours and theirs, each with a row in docs/guides/oauth.md."""


@pytest.fixture(scope="module")
def ours(suite: RunningSuite) -> Iterator[Server]:
    app = register_app(suite.person("0"), suite, redirect_uris=[REDIRECT_URI])
    server = Server(suite.url, app["client_id"], app["client_secret"])
    yield server
    server.http.close()


@pytest.fixture(scope="module")
def theirs(modules: Path) -> Iterator[Server]:
    app = {
        "issuer": f"http://127.0.0.1:{free_port()}",
        "client_id": "oracle-app",
        "client_secret": "s" * 43,
        "redirect_uri": REDIRECT_URI,
    }
    with subprocess.Popen(
        ["node", "oracle.mjs"],
        cwd=modules,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(app) + "\n")
        process.stdin.flush()
        assert "ready" in json.loads(process.stdout.readline())
        server = Server(app["issuer"], app["client_id"], app["client_secret"])
        yield server
        server.http.close()
        process.terminate()


@pytest.mark.parametrize("name", PROBES)
def test_both_answer_alike_or_the_guide_says_why(name: str, ours: Server, theirs: Server) -> None:
    told: tuple[Any, Any] = _told(PROBES[name](ours)), _told(PROBES[name](theirs))
    if name in DIFFERENT:
        assert told == DIFFERENT[name]
        guide = Path(__file__).parents[2] / "docs" / "guides" / "oauth.md"
        assert f"| {name} |" in guide.read_text()
    else:
        assert told[0] == told[1]
