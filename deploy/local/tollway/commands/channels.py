"""`tollway channels`: upstream accounts that requests are sent to."""

import os
from typing import Annotated, Any
from urllib.parse import quote

import typer

from tollway.options import suite_command
from tollway.session import Session, SessionError

COLUMNS = ("name", "kind", "base_url", "models", "priority", "weight", "groups", "enabled")

app = typer.Typer(help="Upstream accounts that requests are sent to.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="Name of the channel.")]


@suite_command(app, "list")
def list_channels(session: Session) -> None:
    """List channels; never their keys."""
    session.output.records(session.pages("/api/channels"), COLUMNS)


@suite_command(app, "add")
def add_channel(  # noqa: PLR0913  an option for each fact of a channel
    session: Session,
    name: NameArgument,
    *,
    base_url: Annotated[str, typer.Option(help="For example https://api.openai.com/v1")],
    model: Annotated[list[str], typer.Option(help="Public name of a model it serves; may be repeated.")],
    kind: Annotated[str, typer.Option(help="Dialect of the upstream.")] = "openai",
    api_key: Annotated[str, typer.Option(help="The upstream's key; env:NAME reads the environment.")] = "",
    rename: Annotated[list[str] | None, typer.Option(help="PUBLIC=UPSTREAM name of a model.")] = None,
    priority: Annotated[int, typer.Option(help="Higher ones are tried first.")] = 0,
    weight: Annotated[int, typer.Option(help="Share among channels of the same priority.")] = 1,
    group: Annotated[list[str] | None, typer.Option(help="Of users it serves; may be repeated.")] = None,
) -> None:
    """Add a channel, in use at once."""
    pairs = [item.partition("=") for item in rename or []]
    body: dict[str, Any] = {
        "name": name,
        "kind": kind,
        "base_url": base_url,
        "models": model,
        "model_map": {public: upstream for public, _, upstream in pairs},
        "priority": priority,
        "weight": weight,
        "groups": group or ["default"],
    }
    if api_key:
        body["api_key"] = _secret(api_key)
    channel = session.send("POST", "/api/channels", body)
    session.output.line(f"added {name}", channel)


@suite_command(app, "remove")
def remove_channel(session: Session, name: NameArgument) -> None:
    """Remove a channel; requests under way finish."""
    session.send("DELETE", _path(name))
    session.output.line(f"removed {name}", {"name": name, "removed": True})


@suite_command(app, "enable")
def enable_channel(session: Session, name: NameArgument) -> None:
    """Send requests to the channel again."""
    session.output.line(f"enabled {name}", session.send("PATCH", _path(name), {"enabled": True}))


@suite_command(app, "disable")
def disable_channel(session: Session, name: NameArgument) -> None:
    """Send no more requests to the channel; those under way finish."""
    session.output.line(f"disabled {name}", session.send("PATCH", _path(name), {"enabled": False}))


def _path(name: str) -> str:
    return f"/api/channels/{quote(name, safe='')}"


def _secret(text: str) -> str:
    if not text.startswith("env:"):
        return text
    try:
        return os.environ[text.removeprefix("env:")]
    except KeyError as error:
        raise SessionError(f"environment variable {error.args[0]} is not set") from None
