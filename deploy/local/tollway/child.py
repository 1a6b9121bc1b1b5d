"""One program of ours as a supervised child: started, asked until ready, stopped, quoted when it fails."""

import http.client
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import msgspec

from common.testing.server_process import LOCALHOST, ServerError, ServerProcess

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 25.0  # a service gives its open streams 20 s
PROBE_TIMEOUT_S = 3.0
TAIL_BYTES = 65_536
LOOK_BACK_LINES = 4
WORDS_LIMIT = 500


class ChildProcess:
    """A child that dies with its supervisor; its log is appended to, mode 0600.

    `environment` is asked at each start, since it holds addresses known only when others have started.
    `not_ready` says what the child still lacks, an empty text when it is ready.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log_path: Path,
        environment: Callable[[], Mapping[str, str]],
        not_ready: Callable[[], str],
    ) -> None:
        self.name = name
        self._command = command
        self._environment = environment
        self._not_ready = not_ready
        self._lacks = "it has not answered"
        self._process = ServerProcess(name, log_path)

    @property
    def pid(self) -> int:
        """Of the child; ServerError when not started."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the child runs."""
        return self._process.running

    @property
    def exit_code(self) -> int | None:
        """None while running or not started; the negated signal number when a signal ended it."""
        return self._process.exit_code

    @property
    def log_path(self) -> Path:
        """Where it writes."""
        return self._process.log_path

    def start(self) -> None:
        """Start and return when ready. ServerError, one line with its last words, when it dies before, or is
        not ready within 60 s.
        """
        # SIGKILL when the supervisor is killed: its database and broker leave at the same moment, so there is
        # nothing to finish with, and nothing acknowledged is lost.
        self._process.spawn(self._command, death_signal=signal.SIGKILL, environment=self._environment())
        deadline_s = time.monotonic() + START_TIMEOUT_S
        try:
            ready = self._process.wait_until(self._is_ready, deadline_s)
        except ServerError:
            message = f"{self.name} is not ready after {START_TIMEOUT_S:g} s: {self._lacks}"
            raise ServerError(message) from None
        if not ready:
            raise ServerError(f"{self.name} died while starting: {obituary(self)}")

    def stop(self) -> None:
        """SIGTERM, up to 25 s of patience, then SIGKILL; no process stays."""
        self._process.stop(signal.SIGTERM, STOP_TIMEOUT_S)

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self._process.kill()

    def _is_ready(self) -> bool:
        self._lacks = self._not_ready()
        return not self._lacks


def service_lacks(port: int, ops_port: int) -> str:
    """What a service lacks to serve: its listener or a check of its readiness; empty when nothing."""
    try:
        socket.create_connection((LOCALHOST, port), PROBE_TIMEOUT_S).close()
    except OSError:
        return f"port {port} does not listen"
    return readiness(f"http://{LOCALHOST}:{ops_port}")


def readiness(ops_url: str) -> str:
    """What /readyz complains about; empty when the service is ready."""
    return _complaint(f"{ops_url}/readyz")


def simulators_lack(url: str) -> str:
    """As `service_lacks`, for the vendor simulators."""
    return _complaint(f"{url}/healthz")


class Part(Protocol):
    """What the supervisor needs of a child; the embedded servers of common.testing are such parts too."""

    @property
    def pid(self) -> int:
        """Of the process."""

    @property
    def running(self) -> bool:
        """Whether it runs."""

    @property
    def exit_code(self) -> int | None:
        """None while running or not started; the negated signal number when a signal ended it."""

    @property
    def log_path(self) -> Path:
        """Where it writes."""

    def start(self) -> None:
        """Block until ready; raises ServerError with one line."""

    def stop(self) -> None:
        """Block until it and its children are gone, politely at first; nothing to do when not running."""

    def kill(self) -> None:
        """SIGKILL it and its children."""


def obituary(part: Part) -> str:
    """How it ended and what it said last, on one line."""
    code = part.exit_code
    ending = f"exit code {code}" if code is None or code >= 0 else signal.Signals(-code).name
    return f"{ending}; last words: {last_words(part.log_path)} ({part.log_path})"


def last_words(log_path: Path) -> str:
    """The last line of a log, or the exception just before it: servers say at last only that they failed.

    JSON lines are told by their message and the last line of their exception.
    """
    try:
        with log_path.open("rb") as log:
            log.seek(max(0, log_path.stat().st_size - TAIL_BYTES))
            text = log.read().decode(errors="replace")
    except OSError as error:
        return f"no log: {error.strerror}"
    records = [_record(line.strip()) for line in text.splitlines() if line.strip()][-LOOK_BACK_LINES:]
    if not records:
        return "(nothing)"
    told = next((record for record in reversed(records) if record.traceback), records[-1])
    return told.words[:WORDS_LIMIT]


class _LogLine(msgspec.Struct):
    message: str
    exception: str = ""

    @property
    def traceback(self) -> bool:
        return bool(self.exception) or "Traceback (most recent call last)" in self.message

    @property
    def words(self) -> str:
        # An exception group draws a frame of | and + around its text.
        texts = (text.strip(" \n|+-").rpartition("\n")[2] for text in (self.message, self.exception))
        return ": ".join(filter(None, (text.strip(" |+-") for text in texts)))


def _record(line: str) -> _LogLine:
    try:
        return msgspec.json.decode(line, type=_LogLine)
    except msgspec.DecodeError:
        return _LogLine(line)


def _complaint(url: str) -> str:
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.netloc, timeout=PROBE_TIMEOUT_S)
    try:
        connection.request("GET", address.path)
        answer = connection.getresponse()
        body = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return f"{url}: {error}"
    finally:
        connection.close()
    return "" if answer.status == http.client.OK else f"{url}: {body[:WORDS_LIMIT]}"
