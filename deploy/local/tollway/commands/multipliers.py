"""`tollway multipliers`: what prices are multiplied by, for a group, a model, a time."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from tollway.options import suite_command
from tollway.session import Session, SessionError

COLUMNS = ("name", "rate", "group", "model", "from", "to", "zone", "weekdays", "valid_from", "valid_to")
_LISTS = ("weekdays",)

app = typer.Typer(help="What prices are multiplied by, for a group, a model, a time.", no_args_is_help=True)


@suite_command(app, "list")
def list_multipliers(session: Session) -> None:
    """List all, whether they hold now or not."""
    session.output.records(session.pages("/api/billing/multipliers"), COLUMNS)


@suite_command(app, "set")
def set_multiplier(
    session: Session,
    name: str,
    fields: Annotated[
        list[str],
        typer.Argument(
            help="rate=0.5 model=deepseek-* group=vip from=00:30 to=08:30 zone=Asia/Shanghai weekdays=sat,sun"
            " valid_from=2026-12-01T00:00:00Z valid_to=…"
        ),
    ],
) -> None:
    """Put a multiplier in force for new requests; the fields are those of multipliers in tollway.toml."""
    body: dict[str, Any] = {}
    for text in fields:
        field, sign, value = text.partition("=")
        if not sign:
            raise SessionError(f"{text} is no FIELD=VALUE")
        body[field] = value.split(",") if field in _LISTS else value
    kept = session.send("PUT", _path(name), body)
    session.output.line(f"{name}: x {kept['rate']}, version {kept['version']}", kept)


@suite_command(app, "delete")
def delete_multiplier(session: Session, name: str) -> None:
    """Price new requests without it; what it made of old ones stays on their records."""
    session.send("DELETE", _path(name))
    session.output.line(f"{name} is deleted", {"name": name})


def _path(name: str) -> str:
    return f"/api/billing/multipliers/{quote(name, safe='')}"
