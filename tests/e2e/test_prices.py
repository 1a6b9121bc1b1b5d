"""A price with a tier and a multiplier, from the command line to a charge that is explained and simulated."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx

from e2e.suite import RunningSuite, eventually

STEM = "sim-tokens-50"
DATED = f"{STEM}-20260131"


def told(suite: RunningSuite, *arguments: str) -> Any:
    answer = suite.cli(*arguments, "--json")
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


def test_a_long_prompt_at_a_multiplied_price_is_explained_and_simulated(
    suite: RunningSuite, tmp_path: Path
) -> None:
    channel = {
        "name": "dated",
        "kind": "openai",
        "base_url": f"{suite.simulator}/openai/v1",
        "api_key": "sk-sim",
        "models": [DATED],
        "model_map": {DATED: STEM},
        "groups": ["discount"],
    }
    assert suite.admin.post("/api/channels", json=channel).status_code == 201
    told(suite, "prices", "set", STEM, "input=1", "output=2", "--tier", "above=50 input=3 output=4")
    told(suite, "multipliers", "set", "half", "rate=0.5", f"model={STEM}*")
    assert told(suite, "prices", "show", DATED)["model"] == STEM
    person = suite.person(balance="1", group="discount")
    assert person.key
    asked = {"model": DATED, "messages": [{"role": "user", "content": "word " * 200}]}
    headers = {"authorization": f"Bearer {person.key}"}

    def served() -> httpx.Response | None:
        answer = httpx.post(f"{suite.base_url}/chat/completions", json=asked, headers=headers)
        return answer if answer.status_code == 200 else None

    answer = eventually(served)
    usage = answer.json()["usage"]
    (record,) = suite.wait_usage(person, 1)
    cost = Decimal(usage["prompt_tokens"] * 3 + usage["completion_tokens"] * 4) / 1_000_000 / 4
    assert usage["prompt_tokens"] > 50
    assert Decimal(record["cost"]) == cost
    (explained,) = told(suite, "usage", "explain", answer.headers["x-request-id"])
    assert explained["id"] == record["id"]
    assert (
        "0.5 (rate of group discount) x 0.5 (multiplier half) = 0.25, to six decimals"
        in explained["explanation"]
    )
    draft = tmp_path / "draft.toml"
    draft.write_text(f'[[prices]]\nmodel = "{STEM}"\ninput = "6"\noutput = "8"\n')
    now = datetime.now(UTC)
    since, until = ((now + timedelta(hours=hours)).isoformat() for hours in (-1, 1))
    report = told(
        suite, "prices", "simulate", str(draft), "--from", since, "--to", until, "--model", f"{STEM}*"
    )
    assert report["accounts"] == [
        {
            "account": person.account,
            "requests": 1,
            "old": record["cost"],
            "new": str((cost * 2).normalize()),
            "difference": record["cost"],
            "percent": "100",
        }
    ]
    told(suite, "multipliers", "delete", "half")
    assert told(suite, "multipliers", "list") == []
