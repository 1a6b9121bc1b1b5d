"""`tollway users`: the people who own keys and wallets."""

import sys
from typing import Annotated

import typer

from tollway.options import suite_command
from tollway.session import Session

COLUMNS = ("email", "role", "group", "enabled", "account", "created_at")

app = typer.Typer(help="People who own keys and wallets.", no_args_is_help=True)


@suite_command(app, "list")
def list_users(session: Session) -> None:
    """List users in the order they were made."""
    session.output.records(session.pages("/api/users"), COLUMNS)


@suite_command(app, "show")
def show_user(session: Session, email: str) -> None:
    """Show one user."""
    session.output.record(session.user(email))


@suite_command(app, "create")
def create_user(
    session: Session,
    email: str,
    *,
    role: Annotated[str, typer.Option(help="user or admin.")] = "user",
    group: Annotated[str, typer.Option(help="Sets the multiplier on list price.")] = "default",
    password: Annotated[
        bool, typer.Option("--password", help="Read a password from standard input.")
    ] = False,
) -> None:
    """Make a user with an empty wallet; `tollway topup` and `tollway keys create` come next."""
    body = {"email": email, "role": role, "group": group}
    if password:
        body["password"] = sys.stdin.readline().rstrip("\n")
    user = session.send("POST", "/api/users", body)
    session.output.line(f"created {user['email']}, account {user['account']}", user)
