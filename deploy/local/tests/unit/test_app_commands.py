"""The commands of apps and grants: what they ask of the gateway, and what people are shown."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any, ClassVar

import pytest
from typer.testing import CliRunner, Result

from tollway.cli import app

APPS = "/api/oauth/apps"
VIEW = {"client_id": "cards", "name": "Cards", "scopes": ["openid"], "fee": "0.05", "secrets": 1}
GRANT = {"id": "g1", "app": "cards", "scopes": ["charge"], "limit": "5", "period": "month"}
KEY = {"kid": "abc", "active_at": "2026-01-15T12:00:00Z", "expires_at": None}


class Gateway(BaseHTTPRequestHandler):
    """Answers from a table and keeps what it was asked."""

    asked: ClassVar[list[tuple[str, str, Any]]] = []
    answers: ClassVar[dict[str, Any]] = {
        "/api/users": {"data": [{"id": "u1", "email": "ada@example.com"}], "next": None},
        APPS: {**VIEW, "client_secret": "tos_x", "data": [VIEW], "next": None},
        f"{APPS}/cards": VIEW,
        f"{APPS}/cards/secrets": {**VIEW, "client_secret": "tos_y"},
        f"{APPS}/cards/secrets/previous": None,
        f"{APPS}/cards/disable": VIEW,
        f"{APPS}/cards/enable": VIEW,
        "/api/oauth/grants": {"data": [GRANT], "next": None},
        "/api/oauth/grants/g1": None,
        "/api/oauth/keys": {"data": [KEY], "next": None},
        "/api/oauth/keys/rotate": {"data": [KEY, KEY], "next": None},
    }

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.asked.append((self.command, self.path, json.loads(body) if body else None))
        data = json.dumps(self.answers[self.path.partition("?")[0]]).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815  names that http.server calls

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its name there
        """Nothing on the test's terminal."""


@pytest.fixture
def gateway() -> Iterator[str]:
    """The URL of a gateway that has been asked nothing yet."""
    Gateway.asked.clear()
    server = HTTPServer(("127.0.0.1", 0), Gateway)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def run(gateway: str, *command: str) -> Result:
    result = CliRunner().invoke(app, [*command, "--url", gateway, "--admin-key", "right"])
    assert result.exit_code == 0, result.output
    return result


def test_an_app_is_made_and_its_secret_shown(gateway: str) -> None:
    options = ("--scope", "openid", "--scope", "charge", "--fee", "0.05")
    made = run(gateway, "apps", "create", "Cards", "https://cards.example/back", *options)
    assert "cards" in made.stdout
    assert "secret: tos_x" in made.stdout
    body = {
        "name": "Cards",
        "redirect_uris": ["https://cards.example/back"],
        "description": "",
        "homepage": "",
        "fee": "0.05",
        "scopes": ["openid", "charge"],
    }
    assert Gateway.asked[-1] == ("POST", APPS, body)
    run(gateway, "apps", "create", "Phone", "com.example.phone:/back", "--public")
    assert Gateway.asked[-1][2]["auth_method"] == "none"


def test_apps_are_listed_shown_and_ended(gateway: str) -> None:
    assert json.loads(run(gateway, "apps", "list", "--json").stdout) == [VIEW]
    assert "all=true" in Gateway.asked[-1][1]
    assert "Cards" in run(gateway, "apps", "show", "cards").stdout
    assert "tos_y" in run(gateway, "apps", "rotate", "cards").stdout
    run(gateway, "apps", "rotate", "cards", "--drop")
    assert Gateway.asked[-1][:2] == ("DELETE", f"{APPS}/cards/secrets/previous")
    assert "disabled" in run(gateway, "apps", "disable", "cards").stdout
    assert "enabled" in run(gateway, "apps", "enable", "cards").stdout
    assert Gateway.asked[-1][:2] == ("POST", f"{APPS}/cards/enable")


def test_signing_keys_are_listed_and_rotated(gateway: str) -> None:
    assert json.loads(run(gateway, "apps", "keys", "--json").stdout) == [KEY]
    assert len(json.loads(run(gateway, "apps", "keys", "--rotate", "--json").stdout)) == 2
    assert Gateway.asked[-1] == ("POST", "/api/oauth/keys/rotate", {"at_once": False})


def test_grants_are_listed_and_revoked(gateway: str) -> None:
    shown = run(gateway, "grants", "list", "ada@example.com", "--json")
    assert json.loads(shown.stdout) == [GRANT]
    assert "user=u1" in Gateway.asked[-1][1]
    assert "revoked" in run(gateway, "grants", "revoke", "g1").stdout
    assert Gateway.asked[-1][:2] == ("DELETE", "/api/oauth/grants/g1")
