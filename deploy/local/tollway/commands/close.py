"""`tollway close` and `tollway closes`: months after which nothing may be posted there."""

from typing import Annotated

import typer

from tollway.commands.audit import TIMEOUT_S
from tollway.options import suite_command
from tollway.session import Session

COLUMNS = ("month", "transfers", "records", "moved", "accounts", "seal", "head", "closed_at")


def register(app: typer.Typer) -> None:
    """Add the verb and its list to the root."""
    suite_command(app, "close")(close)
    suite_command(app, "closes")(closes)


def close(session: Session, month: Annotated[str, typer.Argument(help="YYYY-MM.")]) -> None:
    """Audit a month that is over and close it for ever; a closed month answers its row again."""
    done = session.send("POST", "/api/billing/closes", {"month": month}, timeout_s=TIMEOUT_S)
    session.output.record(done)


def closes(session: Session) -> None:
    """List the closed months."""
    session.output.records(session.pages("/api/billing/closes"), COLUMNS)
