"""How commands fail and print, against a gateway that the test answers for."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tollway.cli import app

ACCOUNT = "0193a3a0-0000-7000-8000-000000000001"
USER = {"id": "u", "account": ACCOUNT, "email": "ada@example.com", "role": "user", "group": "default"}
KEYS = [{"id": f"k{number}", "user": "u", "name": f"key {number}", "prefix": "sk-abc"} for number in range(2)]

PLANS = [
    {
        "name": "vip", "rank": 1, "group": "vip", "models": None,
        "rules": [{"amount": "20", "gives": "1 month", "within": None}],
        "allowance": {"amount": "0.5", "period": "day", "time_zone": "UTC"},
    }
]  # fmt: skip


ANSWERS: dict[str, Any] = {
    "/api/users": {"data": [USER], "next": None},
    "/api/keys": {"data": KEYS, "next": None},
    "/api/billing/wallet": {
        "account": ACCOUNT,
        "balance": "9.9987",
        "held": "0",
        "free": "0.5",
        "paid": "9.4987",
        "currency": "USD",
    },
    "/api/billing/membership": {"account": ACCOUNT, "plan": "vip", "since": None, "until": "2026-02-15"},
    "/api/billing/plans": {"data": PLANS, "version": 3, "next": None},
    "/api/billing/holds": {"data": [{"id": "h1", "state": "open", "amount": "0.5"}], "next": None},
    "/api/billing/holds/h1": {"id": "h1", "credits": {"revenue": "0.5"}},
    "/api/billing/usage/r1/refunds": {"amount": "0.1", "currency": "USD", "balance": "9.1"},
    "/api/billing/audit": {
        "ok": False,
        "checks": [{"name": "sums", "ok": False, "detail": "1 nano off"}],
    },
}


def test_json_is_all_there_is_on_standard_output(gateway: Any) -> None:
    shown = gateway.run("wallet", "show", "ADA@example.com", "--json")
    assert shown.exit_code == 0
    wallet = ANSWERS["/api/billing/wallet"]
    assert json.loads(shown.stdout) == {"email": "ada@example.com", **wallet}


def test_a_member_is_shown_with_what_is_free(gateway: Any) -> None:
    shown = gateway.run("memberships", "show", "ada@example.com", "--json")
    member = json.loads(shown.stdout)
    assert (member["plan"], member["until"], member["free"], member["paid"]) == (
        "vip", "2026-02-15", "0.5", "9.4987",
    )  # fmt: skip


def test_holds_are_shown_and_a_charge_is_refunded(gateway: Any) -> None:
    listed = gateway.run("holds", "list", "--email", "ada@example.com", "--state", "open", "--json")
    assert [hold["id"] for hold in json.loads(listed.stdout)] == ["h1"]
    assert "revenue=0.5" in gateway.run("holds", "show", "h1").stdout
    refunded = gateway.run("refunds", "create", "r1", "--amount", "0.1", "--reason", "black")
    assert refunded.stdout == "refunded 0.1 USD; the wallet has 9.1\n"


def test_plans_are_listed_and_put_in_force_from_a_file(gateway: Any, tmp_path: Path) -> None:
    listed = gateway.run("plans", "list")
    assert "20 in 1 month: 1 month" in listed.stdout
    assert json.loads(gateway.run("plans", "list", "--json").stdout) == PLANS
    file = tmp_path / "plans.toml"
    file.write_text('[[plans]]\nname = "vip"\nrules = [{amount = "20", gives = "1 month"}]\n')
    assert gateway.run("plans", "set", str(file)).stdout == "version 3: 1 plans\n"
    file.write_text('[[plans]]\nname = "vip"\nprice = "20"\n')
    failed = gateway.run("plans", "set", str(file))
    assert failed.exit_code == 1
    assert failed.stderr.startswith(f"error: {file}:3: ")
    file.write_text("")
    assert gateway.run("plans", "set", str(file)).stderr == f"error: {file} has no [[plans]]\n"


@pytest.mark.parametrize(
    ("arguments", "key", "message"),
    [
        (("wallet", "show", "bob@example.com"), "right", "error: there is no user bob@example.com\n"),
        (("users", "list"), "wrong", "error: The key is unknown. [401]\n"),
        (("keys", "show", "sk-abc"), "right", "error: 2 keys begin with sk-abc; name one by its id\n"),
        (("prices", "set", "m", "input"), "right", "error: input is no FIELD=VALUE\n"),
        (
            ("users", "list"),
            "",
            "error: an operator's key is needed for {url}: --admin-key or TOLLWAY_ADMIN_KEY\n",
        ),
    ],
)
def test_a_failure_is_one_line_on_standard_error(
    gateway: Any, arguments: tuple[str, ...], key: str, message: str
) -> None:
    failed = gateway.run(*arguments, key=key)
    assert failed.exit_code == 1
    assert failed.stderr == message.format(url=gateway.url)
    assert failed.stdout == ""


def test_a_gateway_that_is_away_is_one_line_too(gateway: Any) -> None:
    gateway.url = "http://127.0.0.1:9"
    failed = gateway.run("users", "list")
    assert failed.exit_code == 1
    assert failed.stderr.startswith("error: http://127.0.0.1:9 does not answer")
    assert failed.stderr.count("\n") == 1


def test_a_suite_that_does_not_run_is_one_line_too(tmp_path: object) -> None:
    failed = CliRunner().invoke(app, ["users", "list", "--data-dir", str(tmp_path)])
    assert failed.exit_code == 1
    assert failed.stderr == f"error: the suite is not running on {tmp_path}; start it with `tollway up`\n"


def test_an_audit_that_finds_something_shows_it_and_exits_with_1(gateway: Any) -> None:
    audit = gateway.run("audit", "--json")
    assert audit.exit_code == 1
    assert json.loads(audit.stdout)["checks"][0]["detail"] == "1 nano off"
