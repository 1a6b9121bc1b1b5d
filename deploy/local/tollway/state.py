"""What a running suite leaves on disk for scripts, and the lock that says whether it runs.

The lock is the truth: the kernel frees it when the supervisor ends, however it ends, so a `state.json` beside
a free lock was left by a crash.
"""

import fcntl
import os
from pathlib import Path
from typing import IO

import msgspec

PROJECT = Path(__file__).resolve().parents[3]
DEFAULT_DATA_DIR = PROJECT / ".tollway"


class AlreadyRunningError(Exception):
    """Another supervisor has this data directory; the message names its pid."""


class ServiceState(msgspec.Struct, frozen=True):
    """Where one service answers and as which process."""

    url: str
    ops_url: str
    pid: int


class State(msgspec.Struct, frozen=True):
    """`state.json`, mode 0600 since the URLs hold passwords; it exists while the suite is ready.

    `postgres` is the superuser's DSN (database `postgres`), `nats` the URL of a user that may do everything,
    `simulators` empty without them, `pid` the supervisor's, `pids` of every part by name.
    """

    gateway: str
    services: dict[str, ServiceState]
    postgres: str
    nats: str
    simulators: str
    pid: int
    pids: dict[str, int]


class DataDir:
    """The layout of a data directory.

    >>> DataDir(Path("/srv/tollway")).state_path
    PosixPath('/srv/tollway/state.json')
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.state_path = self.path / "state.json"
        self.secrets_path = self.path / "secrets.json"
        self.generated_keys_path = self.path / "generated-keys"
        self.logs = self.path / "logs"
        self._lock_path = self.path / "lock"

    def create(self) -> None:
        """Make what is missing. Others may pass through (PostgreSQL cannot run as root) and read nothing."""
        self.path.mkdir(mode=0o711, parents=True, exist_ok=True)
        self.logs.mkdir(mode=0o700, exist_ok=True)

    def lock(self) -> IO[str]:
        """Hold the directory until the returned file is closed; AlreadyRunningError when another does."""
        file = self._lock_path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise AlreadyRunningError(
                f"already running on {self.path} with pid {self.supervisor_pid() or 'unknown'}"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        return file

    def supervisor_pid(self) -> int | None:
        """Of the supervisor that runs on this directory now; None when none does."""
        try:
            with self._lock_path.open() as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return int(file.read() or 0) or None
                return None
        except FileNotFoundError:
            return None

    def write_state(self, state: State) -> None:
        """Replace `state.json` at once, so that no reader sees half of it."""
        draft = self.state_path.with_suffix(".new")
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(state), indent=1) + b"\n")
        draft.replace(self.state_path)

    def read_state(self) -> State | None:
        """The state of the suite that runs here and is ready, else None."""
        if self.supervisor_pid() is None:
            return None
        try:
            return msgspec.json.decode(self.state_path.read_bytes(), type=State)
        except FileNotFoundError:
            return None

    def secret(self, name: str) -> str:
        """One of the generated secrets; KeyError when there is none of that name."""
        return msgspec.json.decode(self.secrets_path.read_bytes(), type=dict[str, str])[name]
