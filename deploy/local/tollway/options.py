"""The options every command has, and the one way in which a command fails.

`suite_command` adds `--data-dir`, `--url`, `--admin-key` and `--json` to a command's own parameters, so that
they are accepted anywhere after its name, and hands the command a Session in their place.
"""

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from common.kit.bootstrap import BootstrapError
from common.testing.server_process import ServerError
from tollway.output import Output
from tollway.session import SessionError, open_session
from tollway.state import AlreadyRunningError
from tollway.supervisor import SuiteFailedError

FAILURES = (AlreadyRunningError, BootstrapError, ServerError, SessionError, SuiteFailedError)

DataDirOption = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Where the suite keeps its data. [default: .tollway of the project]"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON on standard output, and nothing else.")]
UrlOption = Annotated[
    str, typer.Option("--url", envvar="TOLLWAY_URL", help="Gateway of a suite elsewhere, without --data-dir.")
]
AdminKeyOption = Annotated[
    str, typer.Option("--admin-key", envvar="TOLLWAY_ADMIN_KEY", help="Operator's key of the suite at --url.")
]


def suite_command(app: typer.Typer, name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a command whose first parameter is the open Session; the others are its own options."""

    def register(command: Callable[..., None]) -> Callable[..., None]:
        def run(
            *,
            data_dir: DataDirOption = None,
            url: UrlOption = "",
            admin_key: AdminKeyOption = "",
            as_json: JsonOption = False,
            **own: Any,
        ) -> None:
            with (
                one_line_failures(),
                open_session(data_dir, url, admin_key, Output(as_json=as_json)) as session,
            ):
                command(session, **own)

        own = list(inspect.signature(command).parameters.values())[1:]
        shared = list(inspect.signature(run).parameters.values())[:-1]
        keyword_only = inspect.Parameter.KEYWORD_ONLY
        parameters = [*(parameter.replace(kind=keyword_only) for parameter in own), *shared]
        vars(run)["__signature__"] = inspect.Signature(parameters)  # what Typer reads
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        app.command(name, help=inspect.getdoc(command))(run)
        return run

    return register


@contextmanager
def one_line_failures() -> Iterator[None]:
    """A failure an operator can act on is one line on standard error and exit code 1."""
    try:
        yield
    except FAILURES as error:
        sys.stderr.write(f"error: {error}\n")
        raise typer.Exit(1) from None
