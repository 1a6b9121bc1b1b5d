"""The commands of events, webhooks and alerts: what they ask of the gateway, and what people are shown."""

import json
from typing import Any

import pytest

ACCOUNT = "0193a3a0-0000-7000-8000-000000000001"
WEBHOOK = "0193a3a0-0000-7000-8000-000000000002"
EVENTS = [
    {
        "id": f"e{number}",
        "type": "billing.topup.completed.v1",
        "time": "2026-01-15T12:00:00+00:00",
        "sequence": f"{number:020d}",
        "data": {"type": "billing.topup.completed.v1", "id": f"e{number}", "amount": f"{number}"},
    }
    for number in (1, 2, 3)
]
VIEW = {"id": WEBHOOK, "url": "https://example.com/hook", "events": ["billing.*"], "enabled": True}
DELIVERY = {"id": "7", "type": "billing.topup.completed.v1", "status": "failed", "error": "answered 500"}


ANSWERS: dict[str, Any] = {
    "/events": lambda query: EVENTS[int(query["after"]) : int(query["after"]) + 2],
    "/api/users": {"data": [{"account": ACCOUNT, "email": "ada@example.com"}], "next": None},
    "/api/billing/webhooks": {**VIEW, "secret": "whsec_x", "data": [VIEW], "next": None},
    f"/api/billing/webhooks/{WEBHOOK}": VIEW,
    f"/api/billing/webhooks/{WEBHOOK}/test": {
        "succeeded": False,
        "response_code": 500,
        "error": "answered 500",
    },
    f"/api/billing/webhooks/{WEBHOOK}/rotate": {"secret": "whsec_y", "previous_until": "2026-01-16"},
    f"/api/billing/webhooks/{WEBHOOK}/deliveries": {"data": [DELIVERY], "next": None},
    f"/api/billing/webhooks/{WEBHOOK}/deliveries/7/redeliver": None,
    "/api/billing/alerts": {"account": ACCOUNT, "low_balance": "5", "currency": "USD"},
}


def test_events_are_read_to_the_end(gateway: Any) -> None:
    shown = gateway.run("events", "--email", "ada@example.com", "--json")
    assert json.loads(shown.stdout) == EVENTS
    later = gateway.run("events", "--email", "ada@example.com", "--after", "2", "--stream", "usage")
    assert "amount=3" in later.stdout
    assert "amount=2" not in later.stdout
    assert [path for _, path, _ in gateway.asked if path.startswith("/events") and "after=2" in path]


def test_a_webhook_is_made_and_its_secret_shown(gateway: Any) -> None:
    made = gateway.run(
        "webhooks",
        "create",
        "ada@example.com",
        "https://example.com/hook",
        "--event",
        "billing.payment.*",
        "--event",
        "billing.topup.*",
    )
    assert "secret: whsec_x" in made.stdout
    body = {
        "url": "https://example.com/hook",
        "description": "",
        "all_accounts": False,
        "events": ["billing.payment.*", "billing.topup.*"],
    }
    assert gateway.asked[-1] == ("POST", f"/api/billing/webhooks?account={ACCOUNT}", body)


def test_a_failed_test_is_a_failed_command(gateway: Any) -> None:
    tried = gateway.run("webhooks", "test", WEBHOOK)
    assert (tried.exit_code, tried.stdout.strip()) == (1, "failed: answered 500")


@pytest.mark.parametrize(
    ("command", "asked", "shown"),
    [
        (("list",), ("GET", "", None), WEBHOOK),
        (("deliveries", WEBHOOK), ("GET", f"/{WEBHOOK}/deliveries", None), "answered 500"),
        (
            ("redeliver", WEBHOOK, "7"),
            ("POST", f"/{WEBHOOK}/deliveries/7/redeliver", None),
            "7 will be sent again",
        ),
        (("rotate", WEBHOOK), ("POST", f"/{WEBHOOK}/rotate", None), "secret: whsec_y"),
        (("enable", WEBHOOK), ("PATCH", f"/{WEBHOOK}", {"enabled": True}), f"{WEBHOOK} is enabled"),
        (("delete", WEBHOOK), ("DELETE", f"/{WEBHOOK}", None), f"{WEBHOOK} is deleted"),
    ],
)
def test_commands_ask_what_they_say(
    gateway: Any, command: tuple[str, ...], asked: tuple[str, str, Any], shown: str
) -> None:
    done = gateway.run("webhooks", *command)
    assert done.exit_code == 0, done.output
    assert shown in done.stdout
    method, path, body = gateway.asked[-1]
    assert (method, path.partition("?")[0], body) == (asked[0], "/api/billing/webhooks" + asked[1], asked[2])


def test_alerts_are_set_and_switched_off(gateway: Any) -> None:
    gateway.run("alerts", "set", "ada@example.com", "--low-balance", "5.00")
    gateway.run("alerts", "set", "ada@example.com", "--low-balance", "none")
    bodies = [body for method, _, body in gateway.asked if method == "PUT"]
    assert bodies == [{"low_balance": "5.00"}, {"low_balance": None}]
    assert "5" in gateway.run("alerts", "show", "ada@example.com").stdout
