"""`tollway refunds`: give back what a request was charged."""

from typing import Annotated

import typer

from common.kit.ids import uuid7
from tollway.options import suite_command
from tollway.session import Session

app = typer.Typer(help="Give back what a request was charged.", no_args_is_help=True)


@app.callback()
def refunds() -> None:
    """Keep `create` a word of its own, though it is the only one."""


@suite_command(app, "create")
def create_refund(
    session: Session,
    record: Annotated[str, typer.Argument(help="Id of the usage record.")],
    *,
    amount: Annotated[str | None, typer.Option(help="USD; without it all that is left.")] = None,
    reason: Annotated[str, typer.Option(help="Kept in the ledger.")] = "",
    id: Annotated[str | None, typer.Option(help="The same id is refunded once, however often.")] = None,  # noqa: A002  the option's name
) -> None:
    """Refund a charge to the wallet, all of it or a part."""
    body = {"reason": reason} | ({} if amount is None else {"amount": amount})
    path = f"/api/billing/usage/{record}/refunds"
    refund = session.send("POST", path, body, {"idempotency-key": id or uuid7()})
    text = f"refunded {refund['amount']} {refund['currency']}; the wallet has {refund['balance']}"
    session.output.line(text, refund)
