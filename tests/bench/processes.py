"""Start and stop what is measured, and read what its processes consumed."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
LITELLM_VERSION = "1.106.2"
_KEY = "sk-bench-0123456789abcdefghijklmnopqrstuvwxyz"

_BOOTSTRAP = """
[[groups]]
name = "default"
rate = "1.0"
[[users]]
email = "bench@example.com"
role = "user"
grant_usd = "1000000.00"
  [[users.keys]]
  name = "bench"
  secret = "{key}"
[[channels]]
name = "bench"
kind = "openai"
base_url = "{upstream}"
api_key = "sk-sim"
models = ["gpt-4o-mini"{extra}]
[[prices]]
model = "gpt-4o-mini"
input = "0.15"
cached_input = "0.075"
output = "0.60"
context_window = 128000
max_output = 16384
{extra_prices}
"""
HELD_MODEL = "sim-tokens-2000+slow-chunks-1s"


@dataclass
class Suite:
    """A running thing: where to reach it and which processes do its work."""

    url: str
    key: str
    groups: dict[str, list[psutil.Process]] = field(default_factory=dict)
    start_s: float = 0.0
    state: dict[str, object] = field(default_factory=dict)

    def cpu_s(self) -> dict[str, float]:
        """User + system seconds of each group's processes and their children, so far."""
        return {name: sum(_cpu(process) for process in group) for name, group in self.groups.items()}

    def rss_mb(self) -> dict[str, float]:
        """Resident memory of each group in MB (10**6 bytes)."""
        return {
            name: sum(process.memory_info().rss for process in group) / 1e6
            for name, group in self.groups.items()
        }


def _cpu(process: psutil.Process) -> float:
    total = 0.0
    for member in [process, *process.children(recursive=True)]:
        times = member.cpu_times()
        total += times.user + times.system
    return total


def free_port() -> int:
    """A port of 127.0.0.1 nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def upstream() -> Iterator[tuple[str, psutil.Process]]:
    """The fast simulator: base URL of its OpenAI dialect, and its process."""
    port = free_port()
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    command = [sys.executable, "-m", "simulators", "--port", str(port), "--fast"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield f"http://127.0.0.1:{port}/openai/v1", psutil.Process(process.pid)
    finally:
        stop(process)


@contextmanager
def tollway(upstream_url: str, data_dir: Path) -> Iterator[Suite]:
    """The whole suite as `tollway up` starts it, without its own simulators."""
    data_dir.mkdir(parents=True, exist_ok=True)
    config = data_dir / "bench.toml"
    extra_prices = f'[[prices]]\nmodel = "{HELD_MODEL}"\ninput = "0.15"\noutput = "0.60"\nmax_output = 2048\n'
    config.write_text(
        _BOOTSTRAP.format(
            key=_KEY, upstream=upstream_url, extra=f', "{HELD_MODEL}"', extra_prices=extra_prices
        )
    )
    command = [sys.executable, "-m", "tollway.cli", "up", "--config", str(config)]
    command += ["--data-dir", str(data_dir), "--port", str(free_port()), "--no-simulators"]
    log = (data_dir / "bench-up.log").open("wb")
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        state = _await_state(process, data_dir / "state.json")
        url = f"{state['gateway']}/v1"
        _await_answer(url, _KEY, process)
        suite = Suite(url, _KEY, start_s=time.perf_counter() - started, state=state)
        suite.groups = _tollway_groups(process, state)
        yield suite
    finally:
        stop(process)
        log.close()


def _tollway_groups(
    process: subprocess.Popen[bytes], state: dict[str, object]
) -> dict[str, list[psutil.Process]]:
    services = state["services"]
    assert isinstance(services, dict)
    groups = {name: [psutil.Process(entry["pid"])] for name, entry in services.items()}
    for child in psutil.Process(process.pid).children():
        if child.name() in {"nats-server", "postgres"}:
            groups[child.name().removesuffix("-server")] = [child]
    return groups


@contextmanager
def bare_hop(upstream_url: str) -> Iterator[Suite]:
    """One bare uvicorn + aiohttp hop (see bare.py)."""
    port = free_port()
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests"), "BARE_UPSTREAM": upstream_url}
    command = [sys.executable, "-m", "uvicorn", "bench.bare:app", "--port", str(port), "--loop", "uvloop"]
    command += ["--http", "httptools", "--no-access-log", "--log-level", "error", "--lifespan", "off"]
    process = subprocess.Popen(command, env=environment)
    try:
        url = f"http://127.0.0.1:{port}/v1"
        _await_answer(url, _KEY, process)
        yield Suite(url, _KEY, {"bare": [psutil.Process(process.pid)]})
    finally:
        stop(process)


@contextmanager
def litellm(upstream_url: str) -> Iterator[Suite]:
    """LiteLLM's proxy, one worker, without a database, from its own virtual environment."""
    python = _litellm_environment()
    port = free_port()
    config = BUILD / "litellm.yaml"
    config.write_text(
        "model_list:\n  - model_name: gpt-4o-mini\n    litellm_params: "
        f"{{model: openai/gpt-4o-mini, api_base: {upstream_url}, api_key: sk-mock}}\n"
        "litellm_settings: {telemetry: false, num_retries: 0, request_timeout: 30}\n"
        f"general_settings: {{master_key: {_KEY}}}\n"
    )
    environment = {
        **os.environ,
        "LITELLM_LOG": "ERROR",
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    command = [str(python.parent / "litellm"), "--config", str(config), "--port", str(port)]
    command += ["--host", "127.0.0.1", "--num_workers", "1"]
    log = (BUILD / "litellm.log").open("wb")
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}/v1"
        _await_answer(url, _KEY, process, timeout_s=120)
        groups = {"litellm": [psutil.Process(process.pid)]}
        yield Suite(url, _KEY, groups, time.perf_counter() - started)
    finally:
        stop(process)
        log.close()


def _litellm_environment() -> Path:
    home = BUILD / f"litellm-{LITELLM_VERSION}"
    python = home / "bin" / "python"
    if not (home / "ready").exists():
        uv = str(Path(sys.executable).parent / "uv")
        subprocess.run([uv, "venv", "-q", "--clear", "--python", sys.executable, str(home)], check=True)
        package = f"litellm[proxy]=={LITELLM_VERSION}"
        subprocess.run([uv, "pip", "install", "-q", "--python", str(python), package], check=True)
        (home / "ready").touch()
    return python


def _await_state(process: subprocess.Popen[bytes], path: Path, timeout_s: float = 90) -> dict[str, object]:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"tollway up ended with {process.returncode}; see {path.parent}/bench-up.log")
        try:
            state: dict[str, object] = json.loads(path.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            time.sleep(0.05)  # reason: another process writes the file when it is ready
            continue
        return state
    raise SystemExit("tollway up was not ready in time")


def _await_answer(url: str, key: str, process: subprocess.Popen[bytes], timeout_s: float = 60) -> None:
    body = b'{"model":"gpt-4o-mini","max_tokens":16,"messages":[{"role":"user","content":"hello"}]}'
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    deadline = time.monotonic() + timeout_s
    while True:
        request = urllib.request.Request(f"{url}/chat/completions", body, headers)  # noqa: S310  loopback
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  loopback
                answer.read()
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)  # reason: another process is starting


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end, and kill it when it has not after 40 s."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(40)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
