"""The fixtures every service's tests rely on."""

import os
import subprocess
import sys
from pathlib import Path

import asyncpg
import psutil
import pytest

from common.testing.plugin import DatabaseFactory

ENV = "from common.kit.migrations import run_env\n\nrun_env()\n"
REVISION = """
from alembic import op
import sqlalchemy as sa

revision = "0001"
down_revision = None


def upgrade():
    op.create_table("things", sa.Column("id", sa.Integer, primary_key=True))
"""
SETTINGS_OF_A_RUN = """
[pytest]
addopts = -p no:langsmith_plugin -p no:faker
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""
TESTS_OF_A_RUN = """
import os
import pytest


@pytest.mark.parametrize("number", range(4))
async def test_servers(number, session_postgres, session_nats, nats_url, server_dir):
    with open(os.environ["NOTES"], "a") as notes:
        notes.write(f"{session_postgres.pid} {session_nats.pid} {server_dir}\\n")
"""


@pytest.fixture
def sample_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An importable service with one migration."""
    versions = tmp_path / "sample_service" / "migrations" / "versions"
    versions.mkdir(parents=True)
    (tmp_path / "sample_service" / "__init__.py").touch()
    (versions.parent / "env.py").write_text(ENV)
    (versions / "0001_things.py").write_text(REVISION)
    monkeypatch.syspath_prepend(tmp_path)
    return "sample-service"


@pytest.mark.parametrize("round_number", [1, 2])
async def test_each_database_is_migrated_and_nobody_elses(
    database: DatabaseFactory, sample_service: str, round_number: int
) -> None:
    one = await asyncpg.connect(await database(sample_service))
    other = await asyncpg.connect(await database(sample_service))
    try:
        await one.execute("INSERT INTO things VALUES ($1)", round_number)
        assert await one.fetchval("SELECT array_agg(id) FROM things") == [round_number]
        assert await other.fetchval("SELECT count(*) FROM things") == 0
        assert await one.fetchval("SELECT current_user::text") == "sample_service"
    finally:
        await one.close()
        await other.close()


def test_a_parallel_run_leaves_no_process_and_no_directory(tmp_path: Path) -> None:
    (tmp_path / "test_run.py").write_text(TESTS_OF_A_RUN)
    (tmp_path / "pytest.ini").write_text(SETTINGS_OF_A_RUN)
    notes = tmp_path / "notes"
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "2", "-p", "common.testing.plugin", "-c", "pytest.ini", "."],
        cwd=tmp_path,
        env=os.environ | {"NOTES": str(notes)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    seen = [line.split() for line in notes.read_text().splitlines()]
    assert len(seen) == 4
    assert [pid for line in seen for pid in line[:2] if psutil.pid_exists(int(pid))] == []
    assert [line[2] for line in seen if Path(line[2]).exists()] == []
