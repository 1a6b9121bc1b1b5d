"""From a top-up to a cheaper request, part of it free: plans through every service, and their commands."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx

from e2e.suite import RunningSuite, eventually

# A sum that no other test tops up, and no plan without rules: their users stay what they are.
PLANS = """
[[plans]]
name = "patron"
rank = 1
group = "discount"
models = ["gpt-4o*"]
rules = [{ amount = "777", gives = "1 month" }]
allowance = { amount = "0.5" }
"""


def told(suite: RunningSuite, *arguments: str) -> Any:
    answer = suite.cli(*arguments, "--json")
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


def asked(suite: RunningSuite, headers: dict[str, str], model: str) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
    return httpx.post(f"{suite.base_url}/chat/completions", json=body, headers=headers)


def test_a_member_pays_the_plans_rate_and_spends_the_allowance_first(
    suite: RunningSuite, tmp_path: Path
) -> None:
    file = tmp_path / "plans.toml"
    file.write_text(PLANS)
    assert told(suite, "plans", "set", str(file))["data"][0]["name"] == "patron"
    try:
        person = suite.person(balance="700")
        headers = {"authorization": f"Bearer {person.key}"}
        assert told(suite, "memberships", "show", person.email)["plan"] is None
        suite.top_up(person, "77")
        member = told(suite, "memberships", "show", person.email)
        assert (member["plan"], member["free"], member["paid"]) == ("patron", "0.5", "777")

        def is_member() -> bool:
            me = httpx.get(f"{suite.url}/api/me", headers=headers).json()
            return bool(me["plan"] == "patron" and me["plan_until"] is not None)

        eventually(is_member)
        assert asked(suite, headers, "sim-cached-5").status_code in (403, 404)

        def at_the_plans_rate() -> dict[str, Any] | None:
            answer = asked(suite, headers, "gpt-4o-mini")
            assert answer.status_code == 200, answer.text
            record: dict[str, Any] = eventually(lambda: next(iter(suite.usage(person)), None))
            return record if record["group"] == "discount" else None

        record = eventually(at_the_plans_rate)
        assert (record["rate"], record["free"]) == ("0.5", record["charged"])
        assert Decimal(record["free"]) > 0
        suite.wait_released(person)
        wallet = suite.admin.get("/api/billing/wallet", params={"account": person.account}).json()
        assert wallet["paid"] == "777"
        assert Decimal(wallet["free"]) < Decimal("0.5")
    finally:
        gone = suite.admin.put("/api/billing/plans", json={"plans": []})
        assert gone.status_code == 200, gone.text
