"""`tollway alerts`: what a user wants to be told of."""

from typing import Annotated

import typer

from tollway.options import suite_command
from tollway.session import Session

app = typer.Typer(help="What a user wants to be told of.", no_args_is_help=True)


@suite_command(app, "set")
def set_alerts(
    session: Session,
    email: str,
    *,
    low_balance: Annotated[str, typer.Option(help="USD below which an event is told; `none` for no alert.")],
) -> None:
    """Set the balance below which billing.balance.threshold.v1 is told, once for each time."""
    account = session.user(email)["account"]
    body = {"low_balance": None if low_balance == "none" else low_balance}
    alerts = session.send("PUT", f"/api/billing/alerts?account={account}", body)
    session.output.line(f"{email}: alert below {alerts['low_balance'] or 'nothing'}", alerts)


@suite_command(app, "show")
def show_alerts(session: Session, email: str) -> None:
    """Show what is set."""
    account = session.user(email)["account"]
    session.output.record(session.get("/api/billing/alerts", {"account": account}))
