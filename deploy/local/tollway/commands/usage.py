"""`tollway usage`: what was charged, and why it cost what it cost."""

from typing import Annotated

import typer

from tollway.options import suite_command
from tollway.session import Session

COLUMNS = ("started_at", "model", "quantities", "cost", "outcome", "status", "duration_ms", "id")

app = typer.Typer(help="What was charged, and why.", no_args_is_help=True)


@suite_command(app, "list")
def list_usage(
    session: Session,
    *,
    email: Annotated[str | None, typer.Option("--email", help="Only this user's.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most records to show.")] = 20,
) -> None:
    """List charges, newest first."""
    users = session.pages("/api/users") if email is None else [session.user(email)]
    emails = {user["account"]: user["email"] for user in users}
    account = "all" if email is None else users[0]["account"]
    records = session.pages("/api/billing/usage", {"account": account}, limit, cursor="before")
    named = [{"email": emails.get(record["account"]), **record} for record in records]
    session.output.records(named, COLUMNS if email else ("email", *COLUMNS))


@suite_command(app, "explain")
def explain_usage(session: Session, record: Annotated[str, typer.Argument(help="Id of the record.")]) -> None:
    """Show one charge and its calculation, line by line."""
    found = session.get(f"/api/billing/usage/{record}")
    if session.output.as_json:
        session.output.record(found)
        return
    for line in found["explanation"]:
        session.output.line(line, {})
