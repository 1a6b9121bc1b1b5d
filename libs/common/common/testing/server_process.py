"""One server as a foreground child: spawned in its own session, watched, stopped or killed with its children.

Its own session keeps a Ctrl-C of the terminal away from it, so that the supervisor can stop services first.
On Linux it is also told to shut down when the thread that started it ends, whatever ended it; start servers
from a thread that lives as long as they should (the main thread).
"""

import errno
import itertools
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from common.testing import launch

LOCALHOST = "127.0.0.1"
# Below the range the kernel gives to outgoing connections (32768+): a client that keeps redialling a killed
# server on a port of that range may connect to itself and so keep the port from the server.
PORTS = range(20_000, 32_000)
_TURNS = itertools.count(secrets.randbelow(len(PORTS)))
LOG_LIMIT_BYTES = 16 * 1024 * 1024
TAIL_LINES = 4
POLL_S = 0.01
KILL_TIMEOUT_S = 10.0
BARE_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


class ServerError(Exception):
    """An embedded server could not be started or asked; the message is one line fit for an operator."""


@dataclass(frozen=True)
class SystemUser:
    """An account of the machine that a server runs as."""

    uid: int
    gid: int


class ServerProcess:
    """The child process and its log; the log is appended to, and moved to `.old` when over 16 MiB.

    >>> ServerProcess("PostgreSQL", Path("server.log")).running
    False
    """

    def __init__(self, name: str, log_path: Path) -> None:
        self.name = name
        self.log_path = log_path
        self._child: subprocess.Popen[bytes] | None = None
        self._log_start_bytes = 0

    @property
    def pid(self) -> int:
        """Of the server itself; raises ServerError when it was never started or has been stopped."""
        if self._child is None:
            raise ServerError(f"{self.name} is not started")
        return self._child.pid

    # `kill` may come from another thread while `stop` waits: each method looks at the child it began with.

    @property
    def exit_code(self) -> int | None:
        """None while running; the negated signal number when a signal ended it."""
        child = self._child
        return None if child is None else child.poll()

    @property
    def running(self) -> bool:
        """True from spawn until the server exits by itself or is stopped."""
        child = self._child
        return child is not None and child.poll() is None

    def spawn(
        self,
        command: Sequence[str],
        *,
        death_signal: signal.Signals,
        run_as: SystemUser | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start the command (absolute path first), by default with an environment without any secret of ours.

        The server gets `death_signal` if this process dies. Raises ServerError when it already runs.
        """
        if self.running:
            raise ServerError(f"{self.name} is already running with pid {self.pid}")
        who = (-1, -1) if run_as is None else (run_as.uid, run_as.gid)
        launcher = [sys.executable, "-I", "-S", launch.__file__]
        arguments = [str(number) for number in (os.getpid(), death_signal.value, *who)]
        if self.log_path.exists() and self.log_path.stat().st_size > LOG_LIMIT_BYTES:
            self.log_path.replace(self.log_path.with_suffix(".old"))
        descriptor = os.open(self.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._log_start_bytes = os.fstat(descriptor).st_size
            self._child = subprocess.Popen(  # noqa: S603  our launcher and a program of a wheel
                [*launcher, *arguments, *command],
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                cwd="/",
                env=BARE_ENVIRONMENT if environment is None else environment,
                start_new_session=True,
            )
        finally:
            os.close(descriptor)

    def wait_until(self, ready: Callable[[], bool], deadline_s: float) -> bool:
        """Watch until `ready()` holds: False when the server exits first.

        `deadline_s` is on the monotonic clock; past it the server is killed and ServerError raised.
        """
        while not ready():
            if not self.running:
                return False
            if time.monotonic() > deadline_s:
                self.kill()
                raise self.failure("did not become ready in time")
            time.sleep(POLL_S)
        return True

    def log_of_this_run(self) -> str:
        """What the server has written since the last spawn."""
        with self.log_path.open("rb") as log:
            log.seek(self._log_start_bytes)
            return log.read().decode(errors="replace")

    def failure(self, what: str) -> ServerError:
        """One line: what went wrong, where the log is and how it ends."""
        tail = " | ".join(self.log_of_this_run().split("\n")[-TAIL_LINES - 1 :]).strip(" |")
        return ServerError(f"{self.name} {what}; {self.log_path} ends: {tail or '(empty)'}")

    def stop(self, ask: signal.Signals, timeout_s: float) -> None:
        """Ask with a signal, wait, and kill what has not left in time; does nothing when not running."""
        child = self._child
        if child is None:
            return
        family = _family(child)
        if child.poll() is None:
            child.send_signal(ask)
            try:
                child.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.kill()
                return
        _kill_all(family)
        self._child = None

    def kill(self) -> None:
        """SIGKILL the server and every child of it; returns when all are gone; nothing to do when stopped."""
        child = self._child
        if child is None:
            return
        if child.poll() is None:
            child.send_signal(signal.SIGSTOP)  # so that it cannot fork while its children are listed
        family = _family(child)
        child.kill()
        child.wait()
        _kill_all(family)
        self._child = None


def _family(child: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    try:
        return psutil.Process(child.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listened on a moment ago; raises ServerError when none is found.

    A process gets another each time, so that servers which are yet to listen do not share one.
    """
    for turn in itertools.islice(_TURNS, 100):
        port = PORTS.start + turn % len(PORTS)
        if not port_taken(port):
            return port
    raise ServerError(f"no free port found between {PORTS.start} and {PORTS.stop}")


def port_taken(port: int) -> bool:
    """Whether binding 127.0.0.1:port is refused since another socket has it; any other refusal is raised."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOCALHOST, port))
        except OSError as refusal:
            if refusal.errno == errno.EADDRINUSE:
                return True
            raise
    return False


def _kill_all(processes: Sequence[psutil.Process]) -> None:
    """SIGKILL each and return when none runs; a zombie that its new parent has yet to reap counts as gone."""
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    deadline_s = time.monotonic() + KILL_TIMEOUT_S
    while any(_alive(process) for process in processes):
        if time.monotonic() > deadline_s:
            raise ServerError(f"processes {[process.pid for process in processes]} outlive SIGKILL")
        time.sleep(POLL_S)


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
