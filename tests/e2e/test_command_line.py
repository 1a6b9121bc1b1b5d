"""The `tollway` command as an operator uses it, against the running suite."""

import json
from decimal import Decimal

import openai

from e2e.suite import RunningSuite
from e2e.test_real_clients import MESSAGES


def test_a_customer_from_nothing_to_a_paid_request(suite: RunningSuite) -> None:
    email = "cli@example.com"
    created = suite.cli("users", "create", email, "--json")
    assert created.returncode == 0, created.stderr
    key = json.loads(suite.cli("keys", "create", email, "--name", "laptop", "--json").stdout)["secret"]
    top_up = suite.cli("topup", email, "5.00", "--json")
    assert top_up.returncode == 0, top_up.stderr
    assert json.loads(suite.cli("wallet", "show", email, "--json").stdout)["balance"] == "5"
    with openai.OpenAI(base_url=suite.base_url, api_key=key) as client:
        client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    account = json.loads(suite.cli("wallet", "show", email, "--json").stdout)["account"]
    person = type("Known", (), {"account": account})()
    suite.wait_usage(person, 1)
    balance = suite.wait_released(person)
    listed = suite.cli("usage", "list", "--email", email, "--json")
    assert listed.returncode == 0, listed.stderr
    (record,) = json.loads(listed.stdout)
    assert record["model"] == "gpt-4o-mini"
    assert Decimal(5) - Decimal(record["cost"]) == balance
    everybody = json.loads(suite.cli("usage", "list", "--limit", "500", "--json").stdout)
    assert email in {entry["email"] for entry in everybody}
    times = [entry["started_at"] for entry in everybody]
    assert times == sorted(times, reverse=True)
    assert json.loads(suite.cli("users", "show", email.upper(), "--json").stdout)["account"] == account
    wallet = json.loads(suite.cli("wallet", "show", email, "--json").stdout)
    assert Decimal(wallet["balance"]) == balance
    assert Decimal(wallet["held"]) == 0


def test_a_retried_top_up_is_posted_once(suite: RunningSuite) -> None:
    email = "retry@example.com"
    assert suite.cli("users", "create", email).returncode == 0
    for _ in range(2):
        assert suite.cli("topup", email, "3", "--id", "invoice-0001").returncode == 0
    assert json.loads(suite.cli("wallet", "show", email, "--json").stdout)["balance"] == "3"


def test_failures_are_one_clear_line_and_a_non_zero_exit(suite: RunningSuite) -> None:
    for arguments in (
        ("wallet", "show", "nobody@example.com"),
        ("topup", "nobody@example.com", "1"),
        ("topup", "nobody@example.com", "1e3"),
        ("usage", "list", "--email", "nobody@example.com"),
    ):
        answer = suite.cli(*arguments)
        assert answer.returncode != 0, arguments
        assert "Traceback" not in answer.stderr
        assert answer.stderr.strip()
        assert not answer.stdout.strip()


def test_audit_status_prices_and_channels_are_readable_by_scripts(suite: RunningSuite) -> None:
    for arguments in (("audit",), ("status",), ("prices", "list"), ("channels", "list"), ("users", "list")):
        answer = suite.cli(*arguments, "--json")
        assert answer.returncode == 0, (arguments, answer.stderr)
        assert json.loads(answer.stdout)
    assert "sk-sim" not in suite.cli("channels", "list", "--json").stdout
