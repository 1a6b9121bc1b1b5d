"""`tollway codes`: redemption codes."""

from typing import Annotated

import typer

from common.kit.ids import uuid7
from tollway.options import suite_command
from tollway.session import Session

PATH = "/api/billing/codes"
BATCHES = ("id", "name", "amount", "count", "redeemed", "expires_at", "revoked_at", "created_at")
CODES = ("prefix", "account", "redemption", "redeemed_at")

app = typer.Typer(help="Redemption codes.", no_args_is_help=True)


@suite_command(app, "create")
def create_codes(
    session: Session,
    amount: Annotated[str, typer.Argument(help="USD each is worth.")],
    *,
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 1,
    name: Annotated[str, typer.Option(help="What the batch is called.")] = "codes",
    expires_at: Annotated[str | None, typer.Option(help="RFC 3339 with its zone.")] = None,
) -> None:
    """Make a batch of codes, and print them: they are told this once."""
    body = {"amount": amount, "count": count, "name": name, "expires_at": expires_at}
    batch = session.send("POST", PATH, body)
    session.output.line("\n".join([f"batch {batch['id']}", *batch["codes"]]), batch)


@suite_command(app, "list")
def list_codes(
    session: Session, batch: Annotated[str | None, typer.Argument(help="The codes of this batch.")] = None
) -> None:
    """List the batches, or the codes of one."""
    if batch is None:
        session.output.records(session.pages(PATH, cursor="before"), BATCHES)
    else:
        session.output.records(session.pages(PATH, {"batch": batch}), CODES)


@suite_command(app, "revoke")
def revoke_codes(session: Session, batch: str) -> None:
    """No code of the batch is redeemed any more; what was redeemed stays."""
    gone = session.send("DELETE", f"{PATH}/{batch}")
    session.output.line(f"{gone['name']}: revoked, {gone['redeemed']} of {gone['count']} were redeemed", gone)


@suite_command(app, "redeem")
def redeem_code(session: Session, email: str, code: str) -> None:
    """Credit a code's worth to a user's wallet."""
    body = {"account": session.user(email)["account"], "code": code}
    posted = session.send("POST", "/api/billing/redemptions", body, {"idempotency-key": uuid7()})
    session.output.line(f"{email} has {posted['balance']} USD, {posted['amount']} of them new", posted)
