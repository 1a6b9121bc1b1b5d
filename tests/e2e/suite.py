"""The whole suite as a user starts it, and what a test may ask it from outside: HTTP and the command line."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import httpx

from common.kit.ids import uuid7
from common.testing.server_process import free_port

T = TypeVar("T")

CONFIG = """
[[groups]]
name = "default"
rate = "1.0"
[[groups]]
name = "discount"
rate = "0.5"
[[channels]]
name = "sim"
kind = "openai"
base_url = "{simulator}/openai/v1"
api_key = "sk-sim"
models = [{models}]
groups = ["default", "discount"]
[[channels]]
name = "dead"
kind = "openai"
base_url = "http://127.0.0.1:9/v1"
api_key = "sk-sim"
models = ["gpt-4o-mini", "sim-dead"]
priority = -1
[[prices]]
model = "text-embedding-3-small"
input = "0.02"
{prices}
"""
PRICE = {"input": 150_000, "cached_input": 75_000, "output": 600_000}
MODELS = (
    "gpt-4o-mini",
    "sim-cached-5",
    "sim-chunks-64",
    "sim-unicode+split-utf8",
    "sim-crlf",
    "sim-no-usage",
    "sim-no-done",
    "sim-tokens-50+slow-chunks-50ms",
    "sim-tokens-200+slow-chunks-10ms",
    "sim-slow-first-byte-2s",
    "sim-slow-first-byte-8s",
    "sim-slow-first-byte-25s",
    "sim-slow-first-byte-1s",
    "sim-cut-after-5",
    "sim-error-frame-after-3",
    "sim-cut-before-headers",
    "sim-cut-body",
    "sim-garbage",
    "sim-429",
    "sim-500",
    "sim-dead",
)


@dataclass
class Person:
    """A user made for one test: e-mail, ids, and an API key that works."""

    email: str
    account: str
    user: str
    key: str
    key_id: str


@dataclass
class Operator:
    """Whoever has the operator's key of a running suite: makes users, gives money, reads the books."""

    url: str
    admin_key: str
    admin: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        headers = {"authorization": f"Bearer {self.admin_key}"}
        self.admin = httpx.Client(base_url=self.url, headers=headers, timeout=10)

    @property
    def base_url(self) -> str:
        """What clients paste."""
        return f"{self.url}/v1"

    def person(self, balance: str = "10", group: str = "default", **key_fields: object) -> Person:
        """A new user with a wallet and a key."""
        email = f"{uuid7()}@example.com"
        user = self.admin.post("/api/users", json={"email": email, "group": group})
        user.raise_for_status()
        key = self.admin.post("/api/keys", json={"email": email, "name": "test", **key_fields})
        key.raise_for_status()
        person = Person(
            email, user.json()["account"], user.json()["id"], key.json()["secret"], key.json()["id"]
        )
        if Decimal(balance):
            self.top_up(person, balance)
        return person

    def top_up(self, person: Person, amount: str) -> None:
        """Post money to the wallet."""
        body = {"account": person.account, "amount": amount, "reason": "test"}
        answer = self.admin.post("/api/billing/topups", json=body, headers={"idempotency-key": uuid7()})
        answer.raise_for_status()

    def wallet(self, person: Person) -> tuple[Decimal, Decimal]:
        """Balance and held, USD."""
        answer = self.admin.get("/api/billing/wallet", params={"account": person.account})
        answer.raise_for_status()
        return Decimal(answer.json()["balance"]), Decimal(answer.json()["held"])

    def usage(self, person: Person) -> list[dict[str, Any]]:
        """The usage records of the person, newest first."""
        params = {"account": person.account, "limit": "500"}
        answer = self.admin.get("/api/billing/usage", params=params)
        answer.raise_for_status()
        records: list[dict[str, Any]] = answer.json()["data"]
        return records

    def wait_usage(self, person: Person, count: int) -> list[dict[str, Any]]:
        """The records once there are `count`; more fail at once."""

        def enough() -> list[dict[str, Any]] | None:
            records = self.usage(person)
            assert len(records) <= count, f"{len(records)} usage records, {count} expected"
            return records if len(records) == count else None

        return eventually(enough)

    def wait_released(self, person: Person, timeout_s: float = 15) -> Decimal:
        """The balance once nothing is held any more."""

        def released() -> Decimal | None:
            balance, held = self.wallet(person)
            return balance if held == 0 else None

        return eventually(released, timeout_s)

    def audit(self) -> dict[str, Any]:
        """The audit's report; fails the test when it is not clean."""
        answer = self.admin.post("/api/billing/audit", json={}, timeout=60)
        answer.raise_for_status()
        report: dict[str, Any] = answer.json()
        assert report["ok"], json.dumps(report, indent=1)
        return report


@dataclass
class RunningSuite(Operator):
    """`tollway up` in a process of its own."""

    process: subprocess.Popen[bytes]
    data_dir: Path
    state: dict[str, Any]
    simulator: str

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the `tollway` command against this suite."""
        command = [sys.executable, "-m", "tollway.cli", *arguments, "--data-dir", str(self.data_dir)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def eventually(probe: Callable[[], T | None], timeout_s: float = 10) -> T:
    """The first non-None answer of `probe`; fails after `timeout_s`. For facts that arrive by events."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = probe()
        if answer is not None:
            return answer
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s"
        time.sleep(0.02)  # reason: the fact arrives in another process


def write_config(path: Path, simulator: str, models: Sequence[str] = MODELS) -> None:
    """The bootstrap file of the tests; the last of `models` is served by the dead channel only."""
    names = ", ".join(f'"{name}"' for name in (*models[:-1], "text-embedding-3-small"))
    prices = "\n".join(
        f'[[prices]]\nmodel = "{name}"\ninput = "0.15"\ncached_input = "0.075"\noutput = "0.60"\n'
        "context_window = 128000\nmax_output = 16384"
        for name in models
    )
    path.write_text(CONFIG.format(simulator=simulator, models=names, prices=prices))


@contextmanager
def running_suite(data_dir: Path, simulator: str, **environment: str) -> Iterator[RunningSuite]:
    """`tollway up` on a free port with the tests' configuration; SIGTERM at the end."""
    suite = start_suite(data_dir, simulator, **environment)
    try:
        yield suite
    finally:
        suite.admin.close()
        stop_suite(suite)


def start_suite(data_dir: Path, simulator: str, **environment: str) -> RunningSuite:
    """Start and wait until it is ready; the log is in DATA_DIR/up.log."""
    data_dir.mkdir(parents=True, exist_ok=True)
    config = data_dir / "e2e.toml"
    write_config(config, simulator)
    (data_dir / "state.json").unlink(missing_ok=True)
    command = [sys.executable, "-m", "tollway.cli", "up", "--config", str(config), "--no-simulators"]
    command += ["--data-dir", str(data_dir), "--port", str(free_port())]
    log = data_dir / "up.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, env={**os.environ, **environment}
        )

    def ready() -> dict[str, Any] | None:
        assert process.poll() is None, log.read_text()[-3000:]
        if "\nready http" not in "\n" + log.read_text():
            return None
        state: dict[str, Any] = json.loads((data_dir / "state.json").read_text())
        return state

    state = eventually(ready, 90)
    secrets = json.loads((data_dir / "secrets.json").read_text())
    return RunningSuite(state["gateway"], secrets["admin_key"], process, data_dir, state, simulator)


def stop_suite(suite: RunningSuite) -> None:
    """SIGTERM, and the exit code must say it was clean."""
    suite.process.send_signal(signal.SIGTERM)
    assert suite.process.wait(60) == 0, (suite.data_dir / "up.log").read_text()[-3000:]
