"""The commands of events, webhooks and alerts: what they ask of the gateway, and what people are shown."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest
from typer.testing import CliRunner, Result

from tollway.cli import app

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


class Gateway(BaseHTTPRequestHandler):
    """Answers from a table and keeps what it was asked."""

    asked: ClassVar[list[tuple[str, str, Any]]] = []
    answers: ClassVar[dict[str, Any]] = {
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

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.asked.append((self.command, self.path, json.loads(body) if body else None))
        parts = urlsplit(self.path)
        if parts.path == "/events":
            after = int(parse_qs(parts.query)["after"][0])
            answer: Any = EVENTS[after : after + 2]
        else:
            answer = self.answers[parts.path]
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815  names that http.server calls

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
    return CliRunner().invoke(app, [*command, "--url", gateway, "--admin-key", "right"])


def test_events_are_read_to_the_end(gateway: str) -> None:
    shown = run(gateway, "events", "--email", "ada@example.com", "--json")
    assert json.loads(shown.stdout) == EVENTS
    later = run(gateway, "events", "--email", "ada@example.com", "--after", "2", "--stream", "usage")
    assert "amount=3" in later.stdout
    assert "amount=2" not in later.stdout
    assert [path for _, path, _ in Gateway.asked if path.startswith("/events") and "after=2" in path]


def test_a_webhook_is_made_and_its_secret_shown(gateway: str) -> None:
    made = run(
        gateway,
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
    assert Gateway.asked[-1] == ("POST", f"/api/billing/webhooks?account={ACCOUNT}", body)


def test_a_failed_test_is_a_failed_command(gateway: str) -> None:
    tried = run(gateway, "webhooks", "test", WEBHOOK)
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
    gateway: str, command: tuple[str, ...], asked: tuple[str, str, Any], shown: str
) -> None:
    done = run(gateway, "webhooks", *command)
    assert done.exit_code == 0, done.output
    assert shown in done.stdout
    method, path, body = Gateway.asked[-1]
    assert (method, path.partition("?")[0], body) == (asked[0], "/api/billing/webhooks" + asked[1], asked[2])


def test_alerts_are_set_and_switched_off(gateway: str) -> None:
    run(gateway, "alerts", "set", "ada@example.com", "--low-balance", "5.00")
    run(gateway, "alerts", "set", "ada@example.com", "--low-balance", "none")
    bodies = [body for method, _, body in Gateway.asked if method == "PUT"]
    assert bodies == [{"low_balance": "5.00"}, {"low_balance": None}]
    assert "5" in run(gateway, "alerts", "show", "ada@example.com").stdout
