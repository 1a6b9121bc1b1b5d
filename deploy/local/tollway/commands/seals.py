"""`tollway seals`: the hash chain over what was posted and charged."""

from typing import Annotated

import typer

from tollway.commands.audit import TIMEOUT_S, FromOption, ToOption, period
from tollway.options import suite_command
from tollway.session import Session

COLUMNS = ("number", "first_position", "last_position", "transfers", "records", "sealed_at", "digest")

app = typer.Typer(help="The hash chain over what was posted and charged.", no_args_is_help=True)


@suite_command(app, "list")
def list_seals(
    session: Session, *, limit: Annotated[int, typer.Option(help="How many, newest first.")] = 20
) -> None:
    """List seals, newest first; the first one's digest is the head, worth keeping elsewhere."""
    session.output.records(session.pages("/api/billing/seals", limit=limit, cursor="before"), COLUMNS)


@suite_command(app, "verify")
def verify(
    session: Session,
    *,
    expect: Annotated[str, typer.Option(help="A digest kept earlier, which the chain must contain.")] = "",
    since: FromOption = "",
    until: ToOption = "",
) -> None:
    """Recompute the chain from the rows; exit code 1 when a row or a seal is not as it was made."""
    body = period(since, until) | ({"expect": expect} if expect else {})
    report = session.send("POST", "/api/billing/seals/verify", body, timeout_s=TIMEOUT_S)
    session.output.record(report)
    if not report["ok"]:
        raise typer.Exit(1)
