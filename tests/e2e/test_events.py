"""A customer that follows its events: replay and a signed webhook, through the one public door."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from queue import Queue
from threading import Thread

import httpx
import pytest
from standardwebhooks import Webhook

from e2e.suite import RunningSuite

Delivery = tuple[dict[str, str], bytes]


@pytest.fixture
def receiver() -> Iterator[tuple[str, "Queue[Delivery]"]]:
    """The URL of a server of the customer's own, and what arrives there."""
    arrived: Queue[Delivery] = Queue()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            arrived.put(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its name there
            """Nothing on the test's terminal."""

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook", arrived
    server.shutdown()
    thread.join()
    server.server_close()


def test_events_are_replayed_and_delivered(
    suite: RunningSuite, receiver: tuple[str, "Queue[Delivery]"]
) -> None:
    url, arrived = receiver
    email = "events@example.com"
    assert suite.cli("users", "create", email).returncode == 0
    key = json.loads(suite.cli("keys", "create", email, "--name", "laptop", "--json").stdout)["secret"]
    made = suite.cli("webhooks", "create", email, url, "--event", "billing.topup.*", "--json")
    assert made.returncode == 0, made.stderr
    webhook = json.loads(made.stdout)
    assert suite.cli("webhooks", "test", webhook["id"]).returncode == 0
    assert suite.cli("topup", email, "5.00").returncode == 0
    verify = Webhook(webhook["secret"]).verify
    headers, body = arrived.get(timeout=30)
    assert verify(body, headers)["type"] == "billing.webhook.test.v1"
    headers, body = arrived.get(timeout=30)
    topup = verify(body, headers)
    assert (topup["type"], topup["data"]["amount"]) == ("billing.topup.completed.v1", "5")
    answer = httpx.get(
        suite.base_url.removesuffix("/v1") + "/events",
        params={"stream": "billing"},
        headers={"authorization": f"Bearer {key}"},
        trust_env=False,
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/cloudevents-batch+json"
    assert answer.headers["tollway-next"] == "2"
    assert answer.json()[1] == topup
    shown = json.loads(suite.cli("events", "--email", email, "--json").stdout)
    assert shown == answer.json()
    sent = json.loads(suite.cli("webhooks", "deliveries", webhook["id"], "--json").stdout)
    assert [delivery["status"] for delivery in sent] == ["succeeded"]
    assert suite.cli("webhooks", "delete", webhook["id"]).returncode == 0
