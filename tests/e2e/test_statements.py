"""What people read of the books, from outside: export, list and sums say what the ledger says."""

import csv
import json
from decimal import Decimal
from pathlib import Path

import openai

from e2e.suite import RunningSuite
from e2e.test_real_clients import MESSAGES


def test_export_list_sum_history_and_statement_say_what_the_ledger_says(
    suite: RunningSuite, tmp_path: Path
) -> None:
    email = "statements@example.com"
    suite.cli("users", "create", email, "--json")
    key = json.loads(suite.cli("keys", "create", email, "--name", "k", "--json").stdout)["secret"]
    assert suite.cli("topup", email, "5").returncode == 0
    with openai.OpenAI(base_url=suite.base_url, api_key=key) as client:
        for model in ("gpt-4o-mini", "sim-chunks-64", "gpt-4o-mini"):
            for _ in client.chat.completions.create(model=model, messages=MESSAGES, stream=True):
                pass
    account = json.loads(suite.cli("wallet", "show", email, "--json").stdout)["account"]
    person = type("Known", (), {"account": account})()
    suite.wait_usage(person, 3)
    spent = Decimal(5) - suite.wait_released(person)
    assert spent > 0

    listed = json.loads(suite.cli("usage", "list", "--email", email, "--json").stdout)
    assert len(listed) == 3
    files = {}
    for form in ("csv", "json"):
        files[form] = tmp_path / f"usage.{form}"
        answer = suite.cli("usage", "export", "--format", form, "--email", email, "-o", str(files[form]))
        assert answer.returncode == 0, answer.stderr
    with files["csv"].open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    as_json = json.loads(files["json"].read_text())
    for exported in (rows, as_json):
        assert [row["id"] for row in exported] == [row["id"] for row in listed]
        assert sum(Decimal(row["charged"]) for row in exported) == spent
    narrowed = suite.cli("usage", "list", "--email", email, "--model", "sim-chunks-64", "--json")
    assert [row["model"] for row in json.loads(narrowed.stdout)] == ["sim-chunks-64"]

    summed = json.loads(suite.cli("usage", "sum", "--email", email, "--by", "key", "--json").stdout)
    assert sum(row["requests"] for row in summed) == 3
    assert sum(Decimal(row["charged"]) for row in summed) == spent
    history = json.loads(suite.cli("wallet", "history", email, "--limit", "500", "--json").stdout)
    assert sum(Decimal(row["change"]) for row in history) == Decimal(5) - spent

    early = suite.cli("invoices", "create", email, "2999-01")
    assert early.returncode == 1
    assert "after its end" in early.stderr
    missing = suite.cli("invoices", "download", "INV-999999", "-o", str(tmp_path / "x.pdf"))
    assert missing.returncode == 1
    assert list(tmp_path.glob("x.pdf*")) == []
    assert json.loads(suite.cli("invoices", "list", "--email", email, "--json").stdout) == []
    margins = json.loads(suite.cli("margins", "--by", "model", "--json").stdout)
    assert "sim-chunks-64" in {row["name"] for row in margins["data"]}

    refunded = next(row for row in listed if row["model"] == "sim-chunks-64")
    assert suite.cli("refunds", "create", refunded["id"], "--reason", "asked").returncode == 0
    narrowed = suite.cli("usage", "list", "--email", email, "--model", "sim-chunks-64", "--json")
    (again,) = json.loads(narrowed.stdout)
    assert Decimal(again["refunded"]) == Decimal(again["charged"])
    summed = json.loads(suite.cli("usage", "sum", "--email", email, "--json").stdout)
    (row,) = [row for row in summed if row["name"] == "sim-chunks-64"]
    assert Decimal(row["refunded"]) == Decimal(row["charged"]) > 0
    assert row["net"] == "0"
