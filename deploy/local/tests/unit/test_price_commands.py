"""The commands of the price book: what they ask of the gateway, and what people and scripts are shown."""

import json
from pathlib import Path
from typing import Any

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


ANSWERS: dict[str, Any] = {
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


def test_a_price_is_set_with_its_tiers_and_its_time(gateway: Any) -> None:
    fields = ("input=3", "max_output=9", "effective_from=2027-01-01T00:00:00Z")
    tiers = ("--tier", "above=200000 input=6 output=22.5", "--tier", "above=500000 input=9")
    result = gateway.done("prices", "set", "vendor/m", *fields, *tiers)
    assert gateway.asked == [
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
    assert "vendor/m: version 7 from 2026-01-15" in result


def test_prices_are_listed_with_tiers_and_those_to_come(gateway: Any) -> None:
    assert "above 200000: input=6 output=22.5" in gateway.done("prices", "list")
    assert json.loads(gateway.done("prices", "list", "--json")) == [PRICE]
    assert json.loads(gateway.done("prices", "list", "--upcoming", "--json")) == [LATER]
    versions = gateway.done("prices", "versions", "m")
    assert "2027-01-01" in versions
    assert json.loads(gateway.done("prices", "show", "m", "--json")) == PRICE


def test_a_simulation_sends_the_draft_and_names_the_users(gateway: Any, tmp_path: Path) -> None:
    draft = tmp_path / "draft.toml"
    draft.write_text(
        '[[prices]]\nmodel = "m"\ninput = "4"\n  [[prices.tiers]]\n  above = 10\n  input = "8"\n'
        '[[multipliers]]\nname = "night"\nrate = "0.5"\nfrom = "22:00"\n'
    )
    period = ("--from", "2026-01-01", "--to", "2026-02-01T00:00:00+08:00", "--email", "ada@example.com")
    shown = gateway.done("prices", "simulate", str(draft), *period)
    assert "ada@example.com" in shown
    assert "2 requests have no price" in shown
    (body,) = [asked[2] for asked in gateway.asked if asked[0] == "POST"]
    assert body["prices"] == [{"model": "m", "input": "4", "tiers": [{"above": 10, "input": "8"}]}]
    assert (body["multipliers"][0]["from"], body["multipliers"][0]["rate"]) == ("22:00", "0.5")
    assert (body["from"], body["to"]) == ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00+08:00")
    assert body["account"] == ACCOUNT
    asked = gateway.done("prices", "simulate", str(draft), *period[:4], "--json")
    assert json.loads(asked)["total"] == SUMS


def test_a_draft_that_cannot_be_read_is_one_line_that_names_it(gateway: Any, tmp_path: Path) -> None:
    draft = tmp_path / "draft.toml"
    draft.write_text('[[prices]]\nmodel = "m"\nprice = "4"\n')
    arguments = ["prices", "simulate", str(draft), "--from", "2026-01-01", "--to", "2026-02-01"]
    result = gateway.run(*arguments)
    assert result.exit_code == 1
    assert f"{draft}:3" in result.output


def test_multipliers_are_listed_set_and_deleted(gateway: Any) -> None:
    assert "night" in gateway.done("multipliers", "list")
    gateway.done("multipliers", "set", "night", "rate=0.5", "model=deep*", "weekdays=sat,sun", "from=22:00")
    gateway.done("multipliers", "delete", "night")
    assert gateway.asked[1:] == [
        (
            "PUT",
            "/api/billing/multipliers/night",
            {"rate": "0.5", "model": "deep*", "weekdays": ["sat", "sun"], "from": "22:00"},
        ),
        ("DELETE", "/api/billing/multipliers/night", None),
    ]


def test_a_request_is_explained_line_by_line(gateway: Any) -> None:
    assert gateway.done("usage", "explain", "req-1") == "i t m\n  3 input x 1\n  rounded\n"
    assert json.loads(gateway.done("usage", "explain", "req-1", "--json"))[0]["id"] == "i"
