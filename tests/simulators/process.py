"""Runs the simulators as a process of their own, for fixtures, the benchmark and anyone else."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STOP_S = 10
READY = "simulators ready "


class SimulatorFailedError(RuntimeError):
    """The process ended before it was ready; its complaint is on stderr."""


@contextmanager
def running_simulator(*arguments: str, port: int = 0) -> Iterator[str]:
    """The base URL (`http://127.0.0.1:PORT`) of a simulator of its own, stopped by SIGTERM at the end."""
    command = [sys.executable, "-m", "simulators", "--port", str(port), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    with process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line.startswith(READY):
                raise SimulatorFailedError(f"the simulator said {line!r} instead of being ready")
            yield line.removeprefix(READY).strip()
        finally:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
