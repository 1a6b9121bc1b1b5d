"""`tollway holds`: money that is set aside."""

from typing import Annotated

import typer

from tollway.options import suite_command
from tollway.session import Session

COLUMNS = ("opened_at", "purpose", "state", "amount", "captured", "refunded", "expires_at", "reference", "id")

app = typer.Typer(help="Money that is set aside for tasks and charges.", no_args_is_help=True)


@suite_command(app, "list")
def list_holds(
    session: Session,
    *,
    email: Annotated[str | None, typer.Option("--email", help="Only this user's.")] = None,
    state: Annotated[str | None, typer.Option(help="open, captured, voided or expired.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most holds to show.")] = 20,
) -> None:
    """List holds, newest first."""
    asked = {"account": "all" if email is None else session.user(email)["account"]}
    asked |= {"state": state} if state else {}
    session.output.records(session.pages("/api/billing/holds", asked, limit), COLUMNS)


@suite_command(app, "show")
def show_hold(session: Session, hold: Annotated[str, typer.Argument(help="Id of the hold.")]) -> None:
    """Show one hold and who got the money."""
    session.output.record(session.get(f"/api/billing/holds/{hold}"))
