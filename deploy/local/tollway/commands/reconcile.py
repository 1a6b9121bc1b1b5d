"""`tollway reconcile`: an upstream's own usage file against what was billed."""

from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

import typer

from tollway.commands.audit import TIMEOUT_S, FromOption, ToOption, period
from tollway.options import suite_command
from tollway.session import Session

COLUMNS = ("kind", "key", "model", "fields", "here", "there")


def register(app: typer.Typer) -> None:
    """Add the command to the root, since it has no noun."""
    suite_command(app, "reconcile")(reconcile)


def reconcile(
    session: Session,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="CSV, JSON Lines or JSON.")],
    *,
    channel: Annotated[str, typer.Option(help="Name of the channel the file is of.")],
    since: FromOption = "",
    until: ToOption = "",
    tolerance_tokens: Annotated[int, typer.Option(help="So many tokens are no difference.")] = 0,
    tolerance_percent: Annotated[str, typer.Option(help="So many percent are no difference.")] = "0",
) -> None:
    """Compare request by request (or day by day for OpenAI's usage pages); exit code 1 on a difference."""
    query = urlencode(
        period(since, until)
        | {
            "channel": channel,
            "tolerance_tokens": str(tolerance_tokens),
            "tolerance_percent": tolerance_percent,
        }
    )
    with file.open("rb") as content:
        report = session.upload(f"/api/billing/reconciliations?{query}", content, timeout_s=TIMEOUT_S)
    if session.output.as_json:
        session.output.record(report)
    else:
        session.output.records(report["worst"], COLUMNS)
        session.output.record({name: value for name, value in report.items() if name != "worst"})
    if not report["ok"]:
        raise typer.Exit(1)
