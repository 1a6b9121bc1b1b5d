"""`tollway audit`: proof of the books."""

import typer

from tollway.options import suite_command
from tollway.session import Session

COLUMNS = ("name", "ok", "detail")


def register(app: typer.Typer) -> None:
    """Add the command to the root, since it has no noun."""
    suite_command(app, "audit")(audit)


def audit(session: Session) -> None:
    """Check the whole ledger in one snapshot; exit code 1 when anything is wrong."""
    report = session.send("POST", "/api/billing/audit", {})
    if session.output.as_json:
        session.output.record(report)
    else:
        session.output.records(report["checks"], COLUMNS)
    if not report["ok"]:
        raise typer.Exit(1)
