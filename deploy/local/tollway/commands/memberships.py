"""`tollway memberships`: who is a member of what."""

import typer

from tollway.options import suite_command
from tollway.session import Session

app = typer.Typer(help="Who is a member of what.", no_args_is_help=True)


@suite_command(app, "show")
def show_membership(session: Session, email: str) -> None:
    """Show a user's plan and its end, and what of the balance is free."""
    user = session.user(email)
    account = {"account": user["account"]}
    member = session.get("/api/billing/membership", account)
    wallet = session.get("/api/billing/wallet", account)
    session.output.record(
        {"email": user["email"], **member, **{name: wallet[name] for name in ("free", "paid")}}
    )
