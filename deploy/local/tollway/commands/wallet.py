"""`tollway wallet`: what a user can spend."""

import typer

from tollway.options import suite_command
from tollway.session import Session

app = typer.Typer(help="What a user can spend.", no_args_is_help=True)


@suite_command(app, "show")
def show_wallet(session: Session, email: str) -> None:
    """Show the balance, and what requests under way hold of the user's money."""
    user = session.user(email)
    wallet = session.get("/api/billing/wallet", {"account": user["account"]})
    session.output.record({"email": user["email"], **wallet})
