"""Migrations: one replica after the other, a transaction for each, the lock given back whatever happens."""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from common.kit.db import Database
from common.kit.migrations import upgrade
from common.testing.postgres import EmbeddedPostgres

ENV = "from common.kit.migrations import run_env\n\nrun_env()\n"
STEP = """
from alembic import op

revision = "{revision}"
down_revision = {before!r}


def upgrade() -> None:
    op.execute("{statement}")
"""
_numbers = itertools.count(1)

MakeService = Callable[..., str]


@pytest.fixture
def make_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeService:
    """An importable package whose migrations are the statements, in order."""
    monkeypatch.syspath_prepend(tmp_path)
    package = f"migrated_{next(_numbers)}"

    def make(*statements: str) -> str:
        versions = tmp_path / package / "migrations" / "versions"
        versions.mkdir(parents=True, exist_ok=True)
        (tmp_path / package / "__init__.py").touch()
        (versions.parent / "env.py").write_text(ENV)
        for number, statement in enumerate(statements, 1):
            before = str(number - 1) if number > 1 else None
            step = STEP.format(revision=number, before=before, statement=statement)
            (versions / f"{number}.py").write_text(step)
        return package

    return make


@pytest.fixture
def dsn(session_postgres: EmbeddedPostgres) -> Iterator[str]:
    name = f"migrated_{next(_numbers)}"
    session_postgres.ensure_database(name, "kit")
    yield session_postgres.dsn(name, "kit")
    session_postgres.drop_database(name)


async def scalar(dsn: str, statement: str) -> object:
    database = Database(dsn)
    try:
        async with database.transaction() as connection:
            return (await connection.execute(text(statement))).scalar()
    finally:
        await database.close()


async def test_every_step_is_applied_once(dsn: str, make_service: MakeService) -> None:
    package = make_service("CREATE TABLE a (n int)", "INSERT INTO a VALUES (1)")
    await upgrade(dsn, package)
    await upgrade(dsn, package)
    assert await scalar(dsn, "SELECT count(*) FROM a") == 1
    assert await scalar(dsn, "SELECT version_num FROM alembic_version") == "2"


async def test_replicas_that_start_together_take_turns(dsn: str, make_service: MakeService) -> None:
    package = make_service("CREATE TABLE a (n int)", "INSERT INTO a SELECT 1 FROM pg_sleep(0.2)")
    # Threads, because Alembic's own calls block the loop and would take turns by themselves.
    await asyncio.gather(*(asyncio.to_thread(asyncio.run, upgrade(dsn, package)) for _ in range(3)))
    assert await scalar(dsn, "SELECT count(*) FROM a") == 1


async def test_a_step_that_fails_leaves_those_before_it_and_no_lock(
    dsn: str, make_service: MakeService
) -> None:
    package = make_service("CREATE TABLE a (n int)", "INSERT INTO a VALUES (1)", "SELECT 1/0")
    with pytest.raises(DBAPIError, match="division by zero"):
        await upgrade(dsn, package)
    assert await scalar(dsn, "SELECT count(*) FROM a") == 1
    assert await scalar(dsn, "SELECT version_num FROM alembic_version") == "2"
    assert await scalar(dsn, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0
    make_service("CREATE TABLE a (n int)", "INSERT INTO a VALUES (1)", "INSERT INTO a VALUES (2)")
    async with asyncio.timeout(20):
        await upgrade(dsn, package)
    assert await scalar(dsn, "SELECT count(*) FROM a") == 2


async def test_a_failed_step_leaves_nothing_of_itself(dsn: str, make_service: MakeService) -> None:
    package = make_service("CREATE TABLE a (n int)", "CREATE TABLE b (n int); SELECT 1/0")
    with pytest.raises(DBAPIError):
        await upgrade(dsn, package)
    assert await scalar(dsn, "SELECT to_regclass('b')") is None
