"""`tollway audit`: proof of the books."""

from typing import Annotated

import typer

from tollway.options import suite_command
from tollway.session import Session

COLUMNS = ("name", "ok", "detail")
TIMEOUT_S = 900.0  # it may read ten million rows

FromOption = Annotated[str, typer.Option("--from", help="First day or time (UTC), such as 2026-10-01.")]
ToOption = Annotated[str, typer.Option("--to", help="Day or time (UTC) up to which, without it.")]


def register(app: typer.Typer) -> None:
    """Add the command to the root, since it has no noun."""
    suite_command(app, "audit")(audit)


def audit(session: Session, *, since: FromOption = "", until: ToOption = "") -> None:
    """Check the whole ledger or a period in one snapshot; exit code 1 when anything is wrong."""
    report = session.send("POST", "/api/billing/audit", period(since, until), timeout_s=TIMEOUT_S)
    if session.output.as_json:
        session.output.record(report)
    else:
        session.output.records(report["checks"], COLUMNS)
    if not report["ok"]:
        raise typer.Exit(1)


def period(since: str, until: str) -> dict[str, str]:
    """The fields of a request that bound it in time; those not given are left out."""
    return {name: value for name, value in (("from", since), ("to", until)) if value}
