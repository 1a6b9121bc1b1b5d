"""`tollway topup`: credit a wallet."""

from typing import Annotated

import typer

from common.kit.ids import uuid7
from tollway.options import suite_command
from tollway.session import Session


def register(app: typer.Typer) -> None:
    """Add the command to the root, since it is a verb and no noun."""
    suite_command(app, "topup")(top_up)


def top_up(
    session: Session,
    email: str,
    amount: Annotated[str, typer.Argument(help="USD, a plain decimal such as 5.00.")],
    *,
    reason: Annotated[str, typer.Option(help="Kept in the ledger.")] = "",
    id: Annotated[str | None, typer.Option(help="The same id is credited once, however often.")] = None,  # noqa: A002  the option's name
) -> None:
    """Credit a user's wallet."""
    user = session.user(email)
    body = {"account": user["account"], "amount": amount, "reason": reason}
    posted = session.send("POST", "/api/billing/topups", body, {"idempotency-key": id or uuid7()})
    session.output.line(f"{user['email']} has {posted['balance']} {posted.get('currency', 'USD')}", posted)
