"""`tollway usage`: what was charged, and why it cost what it cost."""

from typing import Annotated
from urllib.parse import quote

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
def explain_usage(
    session: Session,
    request_id: Annotated[str, typer.Argument(help="The answer's x-request-id, or the id of a record.")],
) -> None:
    """Show what a request cost and the calculation, line by line, so that it can be done again by hand."""
    found = session.pages(f"/api/billing/explain/{quote(request_id, safe='')}", cursor="before")
    if session.output.as_json:
        session.output.records(found, ())
        return
    for place, record in enumerate(found):
        if place:
            session.output.line("", {})
        session.output.line(f"{record['id']} {record['started_at']} {record['model']}", {})
        for line in record["explanation"]:
            session.output.line(f"  {line}", {})
