"""The sample app of the guide, as it stands in the documentation, against the running suite."""

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import httpx

from e2e.browsers import Browser, register_app
from e2e.suite import RunningSuite

APP = Path(__file__).resolve().parents[2] / "docs/guides/charge-your-users/app.py"


def test_the_sample_app_signs_in_calls_a_model_charges_and_refunds(suite: RunningSuite) -> None:
    owner, person = suite.person(balance="0"), suite.person()
    app = register_app(owner, suite, redirect_uris=["http://127.0.0.1/callback"])
    browser = Browser(suite, person)
    process = subprocess.Popen(
        [sys.executable, str(APP)],
        env={
            **os.environ,
            "TOLLWAY_URL": suite.url,
            "CLIENT_ID": app["client_id"],
            "CLIENT_SECRET": app["client_secret"],
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    page = process.stdout.readline().removeprefix("Open this page: ").strip()
    back = browser.follow(page)
    assert back.startswith("http://127.0.0.1:")
    assert httpx.get(back).status_code == 200
    told, failure = process.communicate(timeout=60)
    browser.http.close()
    assert process.returncode == 0, failure
    assert "The model said:" in told
    assert "Charged 0.05 USD, 4." in told, told
    assert "Refunded 0.05 USD (succeeded)" in told
    (record,) = suite.wait_usage(person, 1)
    assert suite.wait_released(person) == Decimal(10) - Decimal(record["cost"])
    keys = {"authorization": f"Bearer {owner.key}"}
    lines = httpx.get(f"{suite.url}/api/oauth/apps/{app['client_id']}/statement", headers=keys).json()
    assert [(line["kind"], line["amount"]) for line in lines["data"]] == [
        ("charge", "0.05"),
        ("refund", "-0.05"),
    ]
    listed = suite.cli("apps", "charges", "--user", person.email, "--app", app["client_id"], "--json")
    (charge,) = json.loads(listed.stdout)
    assert (charge["amount_captured"], charge["amount_refunded"], charge["fee"]) == ("0.05", "0.05", "0")
    of_app = suite.cli("apps", "charges", "--app", app["client_id"], "--json")
    assert [line["id"] for line in json.loads(of_app.stdout)] == [charge["id"]]
    moved = json.loads(suite.cli("wallet", "history", person.email, "--json").stdout)
    assert charge["id"] in {line["reference"] for line in moved}
