"""The commands of apps and grants: what they ask of the gateway, and what people are shown."""

import json
from typing import Any

APPS = "/api/oauth/apps"
VIEW = {"client_id": "cards", "name": "Cards", "scopes": ["openid"], "fee": "0.05", "secrets": 1}
GRANT = {"id": "g1", "app": "cards", "scopes": ["charge"], "limit": "5", "period": "month"}
CHARGE = {"id": "c1", "status": "succeeded", "amount": "2", "fee": "0.1", "reference": "order-7"}
KEY = {"kid": "abc", "active_at": "2026-01-15T12:00:00Z", "expires_at": None}


ANSWERS: dict[str, Any] = {
    "/api/users": {"data": [{"id": "u1", "email": "ada@example.com"}], "next": None},
    APPS: {**VIEW, "client_secret": "tos_x", "data": [VIEW], "next": None},
    f"{APPS}/cards": VIEW,
    f"{APPS}/cards/secrets": {**VIEW, "client_secret": "tos_y"},
    f"{APPS}/cards/secrets/previous": None,
    f"{APPS}/cards/disable": VIEW,
    f"{APPS}/cards/enable": VIEW,
    "/api/oauth/grants": {"data": [GRANT], "next": None},
    "/api/oauth/grants/g1": None,
    f"{APPS}/cards/charges": {"data": [CHARGE], "next": None},
    "/api/oauth/charges": {"data": [CHARGE | {"app": "cards"}], "next": None},
    "/api/oauth/keys": {"data": [KEY], "next": None},
    "/api/oauth/keys/rotate": {"data": [KEY, KEY], "next": None},
}


def test_an_app_is_made_and_its_secret_shown(gateway: Any) -> None:
    options = ("--scope", "openid", "--scope", "charge", "--fee", "0.05")
    made = gateway.done("apps", "create", "Cards", "https://cards.example/back", *options)
    assert "cards" in made
    assert "secret: tos_x" in made
    body = {
        "name": "Cards",
        "redirect_uris": ["https://cards.example/back"],
        "description": "",
        "homepage": "",
        "fee": "0.05",
        "scopes": ["openid", "charge"],
    }
    assert gateway.asked[-1] == ("POST", APPS, body)
    gateway.done("apps", "create", "Phone", "com.example.phone:/back", "--public")
    assert gateway.asked[-1][2]["auth_method"] == "none"


def test_apps_are_listed_shown_and_ended(gateway: Any) -> None:
    assert json.loads(gateway.done("apps", "list", "--json")) == [VIEW]
    assert "all=true" in gateway.asked[-1][1]
    assert "Cards" in gateway.done("apps", "show", "cards")
    assert "tos_y" in gateway.done("apps", "rotate", "cards")
    gateway.done("apps", "rotate", "cards", "--drop")
    assert gateway.asked[-1][:2] == ("DELETE", f"{APPS}/cards/secrets/previous")
    assert "disabled" in gateway.done("apps", "disable", "cards")
    assert "enabled" in gateway.done("apps", "enable", "cards")
    assert gateway.asked[-1][:2] == ("POST", f"{APPS}/cards/enable")


def test_signing_keys_are_listed_and_rotated(gateway: Any) -> None:
    assert json.loads(gateway.done("apps", "keys", "--json")) == [KEY]
    assert len(json.loads(gateway.done("apps", "keys", "--rotate", "--json"))) == 2
    assert gateway.asked[-1] == ("POST", "/api/oauth/keys/rotate", {"at_once": False})


def test_charges_are_listed_of_a_person_and_of_an_app(gateway: Any) -> None:
    assert json.loads(gateway.done("apps", "charges", "--app", "cards", "--json")) == [CHARGE]
    assert "order-7" in gateway.done("apps", "charges", "--app", "cards", "--status", "succeeded")
    assert "status=succeeded" in gateway.asked[-1][1]
    paid = gateway.done("apps", "charges", "--user", "ada@example.com", "--app", "cards", "--json")
    assert json.loads(paid)[0]["app"] == "cards"
    assert gateway.asked[-1][1].startswith("/api/oauth/charges?user=u1&app=cards")
    nobody = gateway.run("apps", "charges")
    assert (nobody.exit_code, nobody.stderr[:21]) == (1, "error: whose charges?")


def test_grants_are_listed_and_revoked(gateway: Any) -> None:
    shown = gateway.done("grants", "list", "ada@example.com", "--json")
    assert json.loads(shown) == [GRANT]
    assert "user=u1" in gateway.asked[-1][1]
    assert "revoked" in gateway.done("grants", "revoke", "g1")
    assert gateway.asked[-1][:2] == ("DELETE", "/api/oauth/grants/g1")
