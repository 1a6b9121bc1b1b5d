"""`tollway up`, `down` and `status` as an operator runs them, with everything real."""

import json
import os
import pwd
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from common.testing.server_process import LOCALHOST, free_port

TOLLWAY = [sys.executable, "-m", "tollway.cli"]
SERVICES = {"billing", "chat-relay", "gateway", "media-tasks", "oauth"}
PATIENCE_S = 30.0
CLEAN = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}

pytestmark = pytest.mark.xdist_group("suite")


def tollway(*arguments: str, data_dir: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [*TOLLWAY, *arguments, "--data-dir", str(data_dir)]
    options = {"env": CLEAN, "timeout": 100, **options}
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def state_of(data_dir: Path) -> dict[str, Any]:
    state: dict[str, Any] = json.loads((data_dir / "state.json").read_text())
    return state


def family_of(pid: int) -> list[psutil.Process]:
    """The supervisor and all below it, database backends included."""
    supervisor = psutil.Process(pid)
    return [supervisor, *supervisor.children(recursive=True)]


def survivors(family: list[psutil.Process]) -> list[psutil.Process]:
    """Those that have not gone by themselves within 30 s."""
    _, alive = psutil.wait_procs(family, timeout=PATIENCE_S)
    return [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A data directory that PostgreSQL's account can reach when root runs the tests."""
    with tempfile.TemporaryDirectory(prefix="tollway-up-") as name:
        Path(name).chmod(0o711)
        yield Path(name) / "data"


@contextmanager
def background(data_dir: Path, *options: str) -> Iterator[dict[str, Any]]:
    """A suite started by `--detach`; its state. It is taken down whatever the test did to it."""
    started = tollway("up", "--detach", "--port", "0", *options, data_dir=data_dir)
    assert started.returncode == 0, started.stderr
    state = state_of(data_dir)
    family = family_of(state["pid"])
    assert started.stdout.endswith(f"\nready {state['gateway']}\n")
    try:
        yield state
    finally:
        stopped = tollway("down", data_dir=data_dir)
        assert survivors(family) == [], stopped.stderr


@contextmanager
def running(command: list[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A suite in the foreground, ended whatever the test did to it."""
    with subprocess.Popen(command, text=True, env=CLEAN, **options) as up:
        try:
            yield up
        finally:
            up.terminate()


def test_a_detached_suite_serves_until_down_and_leaves_no_process(data_dir: Path) -> None:
    with background(data_dir) as state:
        family = family_of(state["pid"])
        assert state["services"].keys() == SERVICES
        assert stat.S_IMODE((data_dir / "state.json").stat().st_mode) == 0o600
        assert os.getsid(state["pid"]) != os.getsid(0)

        status = tollway("status", "--json", data_dir=data_dir)
        assert status.returncode == 0, status.stdout
        parts = {part["name"]: part for part in json.loads(status.stdout)["parts"]}
        assert parts.keys() == {*SERVICES, "postgres", "nats", "simulators"}
        assert all(part["ready"] for part in parts.values())

        wallet = tollway("wallet", "show", "demo@example.com", "--json", data_dir=data_dir)
        assert json.loads(wallet.stdout)["balance"] == "10"
        assert json.loads(tollway("audit", "--json", data_dir=data_dir).stdout)["ok"]

        second = tollway("up", "--port", "0", data_dir=data_dir)
        assert second.returncode == 1
        assert f"with pid {state['pid']}" in second.stderr

        assert "permissions violation" not in (data_dir / "nats" / "server.log").read_text().lower()
        secrets = json.loads((data_dir / "secrets.json").read_text()).values()
        logs = [path.read_text() for path in (data_dir / "logs").iterdir()]
        assert not [secret for secret in secrets for log in logs if secret in log]

        assert tollway("down", data_dir=data_dir).stdout == "stopped\n"
        assert [process for process in family if process.is_running()] == []
        assert not (data_dir / "state.json").exists()
    assert tollway("down", data_dir=data_dir).stdout == f"not running on {data_dir}\n"


def test_a_first_user_pays_on_the_page_of_the_simulated_stripe_and_redeems_a_code(data_dir: Path) -> None:
    def ask(*arguments: str) -> Any:
        answer = tollway(*arguments, "--json", data_dir=data_dir)
        assert answer.returncode == 0, answer.stderr
        return json.loads(answer.stdout)

    with background(data_dir), httpx.Client(trust_env=False) as browser:
        payment = ask("payments", "create", "demo@example.com", "5.50")
        assert "Balance" in browser.get(payment["url"]).text
        paid = browser.post(payment["url"], data={"action": "pay", "card": "4242424242424242"})
        assert paid.status_code == 303
        deadline = time.monotonic() + PATIENCE_S
        while ask("payments", "show", payment["id"])["status"] != "succeeded":
            assert time.monotonic() < deadline, "the webhook never came"
        assert ask("wallet", "show", "demo@example.com")["balance"] == "15.5"
        refund = ask("payments", "refund", payment["id"], "--amount", "0.50")
        assert refund["credits"] == "0.5"
        batch = ask("codes", "create", "2", "--count", "2", "--name", "spring")
        assert ask("codes", "redeem", "demo@example.com", batch["codes"][0])["balance"] == "17"
        again = tollway("codes", "redeem", "demo@example.com", batch["codes"][0], data_dir=data_dir)
        assert (again.returncode, again.stderr.count("\n")) == (1, 1)
        assert ask("codes", "revoke", batch["id"])["redeemed"] == 1
        assert [code["account"] is None for code in ask("codes", "list", batch["id"])] == [False, True]
        assert [each["reversed"] for each in ask("payments", "list", "demo@example.com")] == ["0.5"]
        assert ask("audit")["ok"]


def test_a_part_that_dies_takes_the_suite_down_and_is_named(data_dir: Path) -> None:
    command = [*TOLLWAY, "up", "--port", "0", "--no-simulators", "--data-dir", str(data_dir)]
    log = data_dir.parent / "up.log"
    with log.open("w") as errors, running(command, stdout=subprocess.PIPE, stderr=errors) as up:
        assert any(line.startswith("ready ") for line in up.stdout or ()), log.read_text()
        state = state_of(data_dir)
        family = family_of(up.pid)
        os.kill(state["pids"]["billing"], signal.SIGKILL)
        assert up.wait(PATIENCE_S) == 1
        assert survivors(family) == []
    assert "error: billing died: SIGKILL" in log.read_text()


def test_a_killed_supervisor_takes_all_with_it_and_the_next_one_starts(data_dir: Path) -> None:
    with background(data_dir, "--no-simulators") as state:
        family = family_of(state["pid"])
        os.kill(state["pid"], signal.SIGKILL)
        assert survivors(family) == []
        crashed = tollway("status", "--json", data_dir=data_dir)
        assert crashed.returncode == 1
        assert json.loads(crashed.stdout)["crashed"]
    with background(data_dir, "--no-simulators"):
        wallet = tollway("wallet", "show", "demo@example.com", "--json", data_dir=data_dir)
        assert json.loads(wallet.stdout)["balance"] == "10"  # the grant is posted once


def test_ctrl_c_while_starting_stops_what_has_started(data_dir: Path) -> None:
    command = [*TOLLWAY, "up", "--port", "0", "--no-simulators", "--data-dir", str(data_dir)]
    with running(command, stderr=subprocess.PIPE, start_new_session=True) as up:
        assert any("ready" in line for line in up.stderr or ())  # the first part is
        family = family_of(up.pid)
        os.killpg(up.pid, signal.SIGINT)
        assert up.wait(PATIENCE_S) == 0
        assert survivors(family) == []


def test_a_service_that_cannot_start_is_named_with_its_reason(data_dir: Path) -> None:
    config = data_dir.parent / "tollway.toml"
    config.write_text('[[users]]\nemail = "ada@example.com"\ngroup = "nobodys"\n')
    failed = tollway("up", "--port", "0", "--no-simulators", "--config", str(config), data_dir=data_dir)
    assert failed.returncode == 1
    (error,) = [line for line in failed.stderr.splitlines() if line.startswith("error: ")]
    assert error.startswith("error: gateway died while starting: exit code ")
    assert "nobodys" in error
    assert "Traceback" not in failed.stderr


def test_a_wrong_configuration_stops_before_anything_starts(data_dir: Path) -> None:
    config = data_dir.parent / "tollway.toml"
    config.write_text('[[groups]]\nname = "default"\n\n[[users]]\nemial = "ada@example.com"\n')
    failed = tollway("up", "--port", "0", "--config", str(config), data_dir=data_dir)
    assert failed.returncode == 1
    assert failed.stderr.startswith(f"error: {config}:5: ")
    assert failed.stderr.count("\n") == 1
    assert not (data_dir / "postgres").exists()


def test_a_taken_port_is_named(data_dir: Path) -> None:
    with socket.create_server((LOCALHOST, free_port())) as holder:
        port = holder.getsockname()[1]
        failed = tollway("up", "--detach", "--port", str(port), data_dir=data_dir)
    assert failed.returncode == 1
    assert failed.stderr == f"error: port {port} of {LOCALHOST} is taken; choose another with --port\n"


def test_an_ordinary_user_with_an_empty_home_starts_it_too(data_dir: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    who: dict[str, Any] = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    if os.geteuid() != 0:
        pytest.skip("not root: the other tests are this test")
    try:
        subprocess.run([sys.executable, "-c", "import tollway"], check=True, capture_output=True, **who)
    except (PermissionError, subprocess.CalledProcessError):
        pytest.skip("this virtual environment is out of reach for other users")
    os.chown(data_dir.parent, nobody.pw_uid, nobody.pw_gid)
    home = data_dir.parent / "home"
    home.mkdir()
    environ = {"HOME": str(home), "PATH": os.defpath}
    options = ("--detach", "--port", "0", "--no-simulators")
    started = tollway("up", *options, data_dir=data_dir, env=environ, **who)
    assert started.returncode == 0, started.stderr
    family = family_of(state_of(data_dir)["pid"])
    assert tollway("down", data_dir=data_dir, env=environ, **who).returncode == 0
    assert survivors(family) == []
    assert list(home.iterdir()) == []
