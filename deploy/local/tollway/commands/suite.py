"""`tollway up`, `down` and `status`: the life of the suite on this machine."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer
from rich.console import Console

from common.contracts.bootstrap import Bootstrap
from common.kit.bootstrap import load_bootstrap
from common.testing.server_process import LOCALHOST, free_port, port_taken
from tollway.apphost import Suite
from tollway.child import readiness
from tollway.detach import detach
from tollway.options import DataDirOption, JsonOption, one_line_failures
from tollway.output import Output
from tollway.progress import Progress
from tollway.session import SessionError
from tollway.state import DEFAULT_DATA_DIR, DataDir, State
from tollway.supervisor import SuiteFailedError, Supervisor
from tollway.usable import wait_until_usable
from tollway.welcome import show_welcome

DEFAULT_PORT = 8080
DOWN_TIMEOUT_S = 60.0
MODEL = "gpt-4o-mini"  # of the snippets, when a channel serves it

ConfigOption = Annotated[
    Path | None, typer.Option("--config", envvar="TOLLWAY_BOOTSTRAP", help="tollway.toml; without, a demo.")
]
PortOption = Annotated[
    int, typer.Option("--port", min=0, max=65535, help="Of the gateway; 0 takes a free one.")
]
SimulatorsOption = Annotated[bool, typer.Option("--no-simulators", help="Start no vendor simulators.")]
DetachOption = Annotated[bool, typer.Option("--detach", help="Return when ready; `tollway down` stops it.")]


def up(
    *,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    port: PortOption = DEFAULT_PORT,
    no_simulators: SimulatorsOption = False,
    in_background: DetachOption = False,
) -> None:
    """Start the whole suite and serve until Ctrl-C; data stays in the data directory."""
    place = DataDir(data_dir or DEFAULT_DATA_DIR)
    leave = detach() if in_background else None
    with one_line_failures():
        try:
            place.create()
            with place.lock():
                place.state_path.unlink(missing_ok=True)  # left by a crash
                gateway_port = _usable(port)
                suite = Suite(place, gateway_port, config, simulators=not no_simulators, environ=os.environ)
                bootstrap = load_bootstrap(suite.bootstrap, suite.environ)
                _run(place, suite, bootstrap, leave)
        except OSError as error:
            raise SuiteFailedError(f"{error.filename or place.path}: {error.strerror or error}") from error


def down(*, data_dir: DataDirOption = None) -> None:
    """Stop the suite that runs on the data directory, and wait until it is gone."""
    place = DataDir(data_dir or DEFAULT_DATA_DIR)
    with one_line_failures():
        pid = place.supervisor_pid()
        if pid is None:
            sys.stdout.write(f"not running on {place.path}\n")
            return
        try:
            supervisor = psutil.Process(pid)
            supervisor.send_signal(signal.SIGTERM)
            supervisor.wait(DOWN_TIMEOUT_S)
        except psutil.NoSuchProcess:
            pass
        except psutil.AccessDenied:
            raise SessionError(f"pid {pid} belongs to another user") from None
        except psutil.TimeoutExpired:
            raise SessionError(f"pid {pid} has not stopped within {DOWN_TIMEOUT_S:g} s") from None
        sys.stdout.write("stopped\n")


def status(*, data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Show every part, its process and whether it is ready; exit code 1 unless all are."""
    place = DataDir(data_dir or DEFAULT_DATA_DIR)
    output = Output(as_json=as_json)
    with one_line_failures():
        pid = place.supervisor_pid()
        state = place.read_state()
    if state is None:
        summary = "not running" if pid is None else "starting or stopping"
        crashed = pid is None and place.state_path.exists()
        record: dict[str, Any] = {
            "running": pid is not None,
            "ready": False,
            "crashed": crashed,
            "pid": pid,
            "parts": [],
        }
        output.line(f"{summary}{' (the last run crashed)' if crashed else ''}: {place.path}", record)
        raise typer.Exit(1)
    parts = [_part(state, name) for name in state.pids]
    ready = all(part["ready"] for part in parts)
    if as_json:
        record = {"running": True, "ready": ready, "crashed": False, "pid": pid}
        output.record({**record, "gateway": state.gateway, "parts": parts})
    else:
        output.line(f"{'ready' if ready else 'not ready'} {state.gateway} (pid {pid})", {})
        output.records(parts, ("name", "pid", "url", "ready", "detail"))
    if not ready:
        raise typer.Exit(1)


def _part(state: State, name: str) -> dict[str, Any]:
    """One row of `status`: services are asked, of the servers the process is looked at."""
    service = state.services.get(name)
    lacks = readiness(service.ops_url) if service else ""
    if not psutil.pid_exists(state.pids[name]):
        lacks = "its process is gone"
    url = service.url if service else {"simulators": state.simulators}.get(name, "")
    return {"name": name, "pid": state.pids[name], "url": url, "ready": not lacks, "detail": lacks}


def _usable(port: int) -> int:
    """The port, or a free one for 0; SuiteFailedError when it cannot be had."""
    if port == 0:
        return free_port()
    try:
        taken = port_taken(port)
    except OSError as error:
        raise SuiteFailedError(f"port {port} of {LOCALHOST} cannot be used: {error.strerror}") from None
    if taken:
        raise SuiteFailedError(f"port {port} of {LOCALHOST} is taken; choose another with --port")
    return port


def _run(place: DataDir, suite: Suite, bootstrap: Bootstrap, leave: Callable[[Path], None] | None) -> None:
    """Supervise until told to stop; SuiteFailedError."""
    members = suite.members()
    progress = Progress(Console(stderr=True), [member.name for member in members])

    models = [model for channel in bootstrap.channels for model in channel.models]
    model = MODEL if MODEL in models else next(iter(models), "")
    granted = [user.email for user in bootstrap.users if user.grant_usd]

    async def on_ready() -> None:
        missing = await wait_until_usable(suite.gateway_url, place.secret("admin_key"), model, granted)
        place.write_state(suite.state(os.getpid(), members))
        with suppress(OSError):  # nobody reads any more; the suite is ready all the same
            progress.hide()
            key, person = suite.first_key(bootstrap), suite.first_person(bootstrap)
            show_welcome(Console(), suite.gateway_url, key, model, missing, person)
            sys.stdout.write(f"ready {suite.gateway_url}\n")
            sys.stdout.flush()
        if leave is not None:
            leave(place.logs / "supervisor.log")

    progress.show()
    try:
        asyncio.run(Supervisor(members, progress.report, on_ready).run())
    finally:
        progress.hide()
        place.state_path.unlink(missing_ok=True)
