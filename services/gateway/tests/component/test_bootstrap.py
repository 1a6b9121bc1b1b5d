"""The bootstrap file: applied by every replica at start, any number of times, to the same end."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from common.kit.bootstrap import BootstrapError
from common.testing.server_process import free_port

FILE = """
[[groups]]
name = "partners"
rate = "0.85"

[[users]]
email = "Demo@Example.com"
password = "correct horse battery"
role = "admin"
group = "partners"
grant_usd = "10.00"
  [[users.keys]]
  name = "demo"
  secret = "sk-demo-key-of-the-file-0123456789"
  rpm = 600
  models = ["gpt-4o*"]
  budget_usd = "2.5"
  budget_period = "day"
  [[users.keys]]
  name = "made"
"""
TABLES = ("groups", "users", "api_keys")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tollway.toml"
    path.write_text(FILE)
    return path


def _rewrite(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


async def _contents(suite: Any) -> dict[str, list[Any]]:
    return {table: [tuple(row) for row in await suite.rows(f"TABLE {table}")] for table in TABLES}


async def test_the_file_makes_what_it_names_and_applying_it_again_changes_nothing(
    bare_suite: Any, file: Path, tmp_path: Path
) -> None:
    generated = tmp_path / "keys"
    settings = {"bootstrap": str(file), "generated_keys_file": str(generated)}
    client = await bare_suite.start(**settings)
    answer = await client.get("/v1/models", headers={"authorization": "sk-demo-key-of-the-file-0123456789"})
    assert answer.status_code == 200
    principal = bare_suite.signer.verify(bare_suite.service.headers()[b"x-tollway-principal"][0])
    assert (principal.group, principal.rate_micro, principal.models) == ("partners", 850_000, ("gpt-4o*",))
    assert (principal.limits.rpm, principal.limits.budget.limit_nano) == (600, 2_500_000_000)
    before = await _contents(bare_suite)
    assert [len(before[table]) for table in TABLES] == [2, 1, 2]
    await bare_suite.start(**settings)
    assert await _contents(bare_suite) == before
    (line,) = generated.read_text().splitlines()
    email, name, secret = line.split("\t")
    assert (email, name) == ("demo@example.com", "made")
    assert stat.S_IMODE(generated.stat().st_mode) == 0o600
    assert (await client.get("/v1/models", headers={"authorization": secret})).status_code == 200


async def test_two_replicas_that_apply_it_at_once_make_everything_once(
    bare_suite: Any, file: Path, tmp_path: Path
) -> None:
    settings = {"bootstrap": str(file), "generated_keys_file": str(tmp_path / "keys")}
    await asyncio.gather(*(bare_suite.start(**settings) for _ in range(3)))
    contents = await _contents(bare_suite)
    assert [len(contents[table]) for table in TABLES] == [2, 1, 2]
    (row,) = await bare_suite.rows("SELECT event_sequence FROM users")
    assert row["event_sequence"] == 3, "one event for the user and one for each key"
    assert len((tmp_path / "keys").read_text().splitlines()) == 1


async def test_a_changed_file_changes_what_it_declares_and_nothing_else(
    bare_suite: Any, file: Path, tmp_path: Path
) -> None:
    settings = {"bootstrap": str(file), "generated_keys_file": str(tmp_path / "keys")}
    client = await bare_suite.start(**settings)
    demo, made = (await client.get("/api/keys")).json()["data"]
    await client.patch(f"/api/keys/{demo['id']}", json={"concurrency": 7})
    await client.delete(f"/api/keys/{made['id']}")
    _rewrite(file, "600", "60")
    _rewrite(file, '"0.85"', '"0.9"')
    await bare_suite.start(**settings)
    demo, made = (await client.get("/api/keys")).json()["data"]
    assert (demo["rpm"], demo["concurrency"]) == (60, 7)
    assert made["revoked_at"] is not None
    rates = {group["name"]: group["rate"] for group in (await client.get("/api/groups")).json()["data"]}
    assert rates == {"default": "1", "partners": "0.9"}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ('rate = "0.85"|rate = "cheap"', "rate|plain decimal"),
        ('email = "Demo@Example.com"|email = "nobody"', "e-mail"),
        ("rpm = 600|rpm = -1", "limit"),
        ('budget_usd = "2.5"|budget_usd = "much"', "decimal"),
        ("rpm = 600|rpn = 600", "rpn"),
        ('secret = "sk-demo-key-of-the-file-0123456789"|secret = "short"', "secret"),
        ("rpm = 600|expires_at = 'soon'", "soon"),
    ],
)
async def test_a_wrong_file_ends_the_start_with_one_line(
    bare_suite: Any, file: Path, wrong: str, said: str
) -> None:
    right, _, bad = wrong.partition("|")
    _rewrite(file, right, bad)
    with pytest.raises(BootstrapError) as caught:
        await bare_suite.start(bootstrap=str(file))
    assert any(word in str(caught.value) for word in said.split("|")), str(caught.value)
    assert "\n" not in str(caught.value)
    assert "sk-demo-key" not in str(caught.value)


async def test_a_running_process_serves_the_file_and_never_logs_a_key(
    bare_suite: Any, file: Path, tmp_path: Path
) -> None:
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "TOLLWAY_PORT": str(port),
        "TOLLWAY_OPS_PORT": str(free_port()),
        "TOLLWAY_DATABASE_URL": bare_suite.dsn,
        "TOLLWAY_NATS_URL": bare_suite.nats_url,
        "TOLLWAY_PRINCIPAL_KEYS": "k1:" + "s" * 32,
        "TOLLWAY_KEY_PEPPER": "pepper-for-the-tests",
        "TOLLWAY_ADMIN_KEY": bare_suite.admin_key,
        "TOLLWAY_CHAT_RELAY_URL": bare_suite.service.url,
        "TOLLWAY_BOOTSTRAP": str(file),
        "TOLLWAY_GENERATED_KEYS_FILE": str(tmp_path / "keys"),
        "TOLLWAY_LOG_LEVEL": "DEBUG",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "common.kit.serve", "gateway", env=environment, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    log = b""
    try:
        async with asyncio.timeout(30):
            log = await process.stderr.readuntil(b"Uvicorn running on")
        secret = "sk-demo-key-of-the-file-0123456789"
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", params={"key": secret}) as client:
            assert (await client.get("/v1/models")).status_code == 200
            assert (await client.get("/nowhere")).status_code == 404
            assert (await client.get("/api/me")).json()["email"] == "demo@example.com"
            assert (await client.get("/v1/models", params={"key": f"{secret}x"})).status_code == 401
    finally:
        process.terminate()
        log += (await process.communicate())[1]
    assert process.returncode == -signal.SIGTERM, "uvicorn stops in order and then ends as it was told to"
    generated = (tmp_path / "keys").read_text().split("\t")[2].strip()
    for word in (secret, generated, bare_suite.admin_key, "correct horse battery", "pepper-for-the-tests"):
        assert word.encode() not in log


async def test_a_process_with_a_wrong_file_exits_with_code_2_and_one_line(file: Path) -> None:
    _rewrite(file, '"0.85"', '"cheap"')
    environment = {
        "PATH": os.environ["PATH"],
        "TOLLWAY_PORT": "1",
        "TOLLWAY_OPS_PORT": "1",
        "TOLLWAY_NATS_URL": "nats://127.0.0.1:1",
        "TOLLWAY_DATABASE_URL": "postgresql://127.0.0.1:1/x",
        "TOLLWAY_PRINCIPAL_KEYS": "k1:" + "s" * 32,
        "TOLLWAY_KEY_PEPPER": "pepper-for-the-tests",
        "TOLLWAY_BOOTSTRAP": str(file),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "common.kit.serve", "gateway", env=environment, stderr=subprocess.PIPE
    )
    _, log = await process.communicate()
    assert process.returncode == 2
    assert log.decode().count("\n") == 1
    assert log.startswith(b"gateway: ")
