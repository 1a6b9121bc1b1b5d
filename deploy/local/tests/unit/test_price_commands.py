"""The commands of the price book: what they ask of the gateway, and what people and scripts are shown."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest
from typer.testing import CliRunner, Result

from tollway.cli import app

ACCOUNT = "0193a3a0-0000-7000-8000-000000000001"
SUMS = {"requests": 3, "old": "1", "new": "1.5", "difference": "0.5", "percent": "50"}
PRICE = {
    "model": "m",
    "version": 7,
    "prices": {"input": "3", "output": "15"},
    "context_window": None,
    "max_output": None,
    "source": "api",
    "tiers": [{"above": 200_000, "prices": {"input": "6", "output": "22.5"}}],
    "effective_from": "2026-01-15T12:00:00.000+00:00",
}
LATER = PRICE | {"effective_from": "2027-01-01T00:00:00.000+00:00", "prices": {"input": "2"}}


class Gateway(BaseHTTPRequestHandler):
    """Answers from a table and keeps what it was asked."""

    asked: ClassVar[list[tuple[str, str, Any]]] = []
    answers: ClassVar[dict[str, Any]] = {
        "/api/users": {"data": [{"account": ACCOUNT, "email": "ada@example.com"}], "next": None},
        "/api/billing/prices": {"data": [PRICE], "next": None, "version": 7, "upcoming": [LATER]},
        "/api/billing/prices/m": PRICE,
        "/api/billing/prices/vendor/m": PRICE,
        "/api/billing/prices/m/versions": {"data": [LATER, PRICE], "next": None},
        "/api/billing/prices/simulate": {
            "total": SUMS,
            "unpriced": 2,
            "accounts": [{"account": ACCOUNT, **SUMS}],
            "accounts_total": 1,
            "models": [{"model": "m", **SUMS}],
            "models_total": 1,
            "currency": "USD",
        },
        "/api/billing/multipliers": {"data": [{"name": "night", "rate": "0.5"}], "next": None},
        "/api/billing/multipliers/night": {"name": "night", "rate": "0.5", "version": 8},
        "/api/billing/explain/req-1": {
            "data": [{"id": "i", "started_at": "t", "model": "m", "explanation": ["3 input x 1", "rounded"]}],
            "next": None,
        },
    }

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        path = self.path.partition("?")[0]
        self.asked.append((self.command, path, json.loads(body) if body else None))
        data = json.dumps(self.answers[path]).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815  names that http.server calls

    def log_message(self, *_: object) -> None:
        """Nothing on standard error."""


@pytest.fixture
def gateway() -> Iterator[str]:
    Gateway.asked.clear()
    server = HTTPServer(("127.0.0.1", 0), Gateway)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def run(gateway: str, *arguments: str) -> Result:
    result = CliRunner().invoke(app, [*arguments, "--url", gateway, "--admin-key", "right"])
    assert result.exit_code == 0, result.output
    return result


def test_a_price_is_set_with_its_tiers_and_its_time(gateway: str) -> None:
    fields = ("input=3", "max_output=9", "effective_from=2027-01-01T00:00:00Z")
    tiers = ("--tier", "above=200000 input=6 output=22.5", "--tier", "above=500000 input=9")
    result = run(gateway, "prices", "set", "vendor/m", *fields, *tiers)
    assert Gateway.asked == [
        (
            "PUT",
            "/api/billing/prices/vendor/m",
            {
                "input": "3",
                "max_output": 9,
                "effective_from": "2027-01-01T00:00:00Z",
                "tiers": [
                    {"above": 200_000, "input": "6", "output": "22.5"},
                    {"above": 500_000, "input": "9"},
                ],
            },
        )
    ]
    assert "vendor/m: version 7 from 2026-01-15" in result.stdout


def test_prices_are_listed_with_tiers_and_those_to_come(gateway: str) -> None:
    assert "above 200000: input=6 output=22.5" in run(gateway, "prices", "list").stdout
    assert json.loads(run(gateway, "prices", "list", "--json").stdout) == [PRICE]
    assert json.loads(run(gateway, "prices", "list", "--upcoming", "--json").stdout) == [LATER]
    versions = run(gateway, "prices", "versions", "m").stdout
    assert "2027-01-01" in versions
    assert json.loads(run(gateway, "prices", "show", "m", "--json").stdout) == PRICE


def test_a_simulation_sends_the_draft_and_names_the_users(gateway: str, tmp_path: Path) -> None:
    draft = tmp_path / "draft.toml"
    draft.write_text(
        '[[prices]]\nmodel = "m"\ninput = "4"\n  [[prices.tiers]]\n  above = 10\n  input = "8"\n'
        '[[multipliers]]\nname = "night"\nrate = "0.5"\nfrom = "22:00"\n'
    )
    period = ("--from", "2026-01-01", "--to", "2026-02-01T00:00:00+08:00", "--email", "ada@example.com")
    shown = run(gateway, "prices", "simulate", str(draft), *period).stdout
    assert "ada@example.com" in shown
    assert "2 requests have no price" in shown
    (body,) = [asked[2] for asked in Gateway.asked if asked[0] == "POST"]
    assert body["prices"] == [{"model": "m", "input": "4", "tiers": [{"above": 10, "input": "8"}]}]
    assert (body["multipliers"][0]["from"], body["multipliers"][0]["rate"]) == ("22:00", "0.5")
    assert (body["from"], body["to"]) == ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00+08:00")
    assert body["account"] == ACCOUNT
    asked = run(gateway, "prices", "simulate", str(draft), *period[:4], "--json")
    assert json.loads(asked.stdout)["total"] == SUMS


def test_a_draft_that_cannot_be_read_is_one_line_that_names_it(gateway: str, tmp_path: Path) -> None:
    draft = tmp_path / "draft.toml"
    draft.write_text('[[prices]]\nmodel = "m"\nprice = "4"\n')
    arguments = ["prices", "simulate", str(draft), "--from", "2026-01-01", "--to", "2026-02-01"]
    result = CliRunner().invoke(app, [*arguments, "--url", gateway, "--admin-key", "right"])
    assert result.exit_code == 1
    assert f"{draft}:3" in result.output


def test_multipliers_are_listed_set_and_deleted(gateway: str) -> None:
    assert "night" in run(gateway, "multipliers", "list").stdout
    run(gateway, "multipliers", "set", "night", "rate=0.5", "model=deep*", "weekdays=sat,sun", "from=22:00")
    run(gateway, "multipliers", "delete", "night")
    assert Gateway.asked[1:] == [
        (
            "PUT",
            "/api/billing/multipliers/night",
            {"rate": "0.5", "model": "deep*", "weekdays": ["sat", "sun"], "from": "22:00"},
        ),
        ("DELETE", "/api/billing/multipliers/night", None),
    ]


def test_a_request_is_explained_line_by_line(gateway: str) -> None:
    assert run(gateway, "usage", "explain", "req-1").stdout == "i t m\n  3 input x 1\n  rounded\n"
    assert json.loads(run(gateway, "usage", "explain", "req-1", "--json").stdout)[0]["id"] == "i"
