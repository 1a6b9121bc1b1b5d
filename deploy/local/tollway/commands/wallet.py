"""`tollway wallet`: what a user can spend."""

from typing import Annotated

import typer

from tollway.options import suite_command
from tollway.periods import FromOption, ToOption, moments
from tollway.session import Session

COLUMNS = ("posted_at", "kind", "change", "balance", "held", "debit", "credit", "reference")

app = typer.Typer(help="What a user can spend.", no_args_is_help=True)


@suite_command(app, "show")
def show_wallet(session: Session, email: str) -> None:
    """Show the balance, and what requests under way hold of the user's money."""
    user = session.user(email)
    wallet = session.get("/api/billing/wallet", {"account": user["account"]})
    session.output.record({"email": user["email"], **wallet})


@suite_command(app, "history")
def show_history(
    session: Session,
    email: str,
    *,
    kind: Annotated[str | None, typer.Option(help="Only transfers of this kind, such as topup.")] = None,
    since: FromOption = None,
    until: ToOption = None,
    limit: Annotated[int, typer.Option(min=1, help="Most transfers to show.")] = 20,
) -> None:
    """List what moved a user's money, newest first, with the balance after each."""
    asked = {"account": session.user(email)["account"]} | ({"kind": kind} if kind else {})
    rows = session.pages("/api/billing/transfers", asked | moments(since, until), limit)
    session.output.records(rows, COLUMNS)
