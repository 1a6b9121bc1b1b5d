"""`tollway up --detach`: the same start, watched to its end, then left running without a terminal."""

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

READY = b"ready"


def detach() -> Callable[[Path], None]:
    """Go on in a new session; call the returned function, with the path of a log, once the suite is ready.

    The process that was called stays until then and passes signals on: it exits 0 when the suite is ready,
    and with the child's exit code when that ends before. Must run before any thread is started.
    """
    told, tell = os.pipe()
    child = os.fork()
    if child:
        os.close(tell)
        _wait(child, told)
    os.close(told)
    os.setsid()

    def leave(log_path: Path) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        nothing = os.open(os.devnull, os.O_RDONLY)
        log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        os.close(nothing)
        os.close(log)
        with suppress(BrokenPipeError):  # who called was killed meanwhile
            os.write(tell, READY)
        os.close(tell)

    return leave


def _wait(child: int, told: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: os.kill(child, signal.SIGTERM))
    with os.fdopen(told, "rb") as pipe:
        if pipe.read() == READY:  # or nothing, when the child is gone
            sys.exit(0)
    _, status = os.waitpid(child, 0)
    sys.exit(abs(os.waitstatus_to_exitcode(status)) or 1)
