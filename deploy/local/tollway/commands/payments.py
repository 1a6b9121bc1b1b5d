"""`tollway payments`: money in by Stripe, and back."""

from typing import Annotated

import typer

from common.kit.ids import uuid7
from tollway.options import suite_command
from tollway.session import Session

PATH = "/api/billing/payments"
COLUMNS = ("id", "account", "method", "status", "amount", "currency", "credits", "reversed", "created_at")

app = typer.Typer(help="Payments by Stripe, and their refunds.", no_args_is_help=True)


@suite_command(app, "create")
def create_payment(
    session: Session,
    email: str,
    amount: Annotated[str, typer.Argument(help="A plain decimal such as 5.00.")],
    *,
    currency: Annotated[str, typer.Option(help="One of those `GET /api/billing/recharge` lists.")] = "USD",
    invoice: Annotated[
        bool, typer.Option("--invoice", help="An invoice instead of a checkout page.")
    ] = False,
    success_url: Annotated[str, typer.Option(help="Where the payer's browser goes afterwards.")] = "",
    id: Annotated[str | None, typer.Option(help="The same id is one payment, however often.")] = None,  # noqa: A002  the option's name
) -> None:
    """Ask a user for a payment, and print the page to pay at."""
    user = session.user(email)
    body = {
        "account": user["account"],
        "amount": amount,
        "currency": currency,
        "method": "stripe_invoice" if invoice else "stripe_checkout",
        "email": user["email"],
        "success_url": success_url,
    }
    payment = session.send("POST", PATH, body, {"idempotency-key": id or uuid7()})
    text = (
        f"{payment['id']}: {payment['amount']} {payment['currency']} for {payment['credits']} USD of balance"
    )
    session.output.line(f"{text}\npay at {payment['url']}", payment)


@suite_command(app, "list")
def list_payments(
    session: Session,
    email: Annotated[str | None, typer.Argument(help="Only those of this user.")] = None,
    *,
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 50,
) -> None:
    """List payments, newest first."""
    account = "all" if email is None else session.user(email)["account"]
    session.output.records(session.pages(PATH, {"account": account}, limit, cursor="before"), COLUMNS)


@suite_command(app, "show")
def show_payment(session: Session, id: str) -> None:  # noqa: A002  the argument's name
    """Show a payment and everything that came of it back."""
    session.output.record(session.get(f"{PATH}/{id}"))


@suite_command(app, "refund")
def refund_payment(
    session: Session,
    id: str,  # noqa: A002  the argument's name
    *,
    amount: Annotated[str | None, typer.Option(help="Part of it, in its currency. [default: all]")] = None,
    reason: Annotated[str, typer.Option(help="Kept with the refund.")] = "refunded by an admin",
    refund_id: Annotated[str | None, typer.Option(help="The same id is one refund, however often.")] = None,
) -> None:
    """Give a payment or a part of it back; the money leaves the wallet first."""
    body = {"reason": reason} | ({} if amount is None else {"amount": amount})
    refund = session.send("POST", f"{PATH}/{id}/refunds", body, {"idempotency-key": refund_id or uuid7()})
    text = (
        f"{refund['id']}: {refund['amount']} {refund['currency']} go back, {refund['credits']} USD are taken"
    )
    session.output.line(f"{text}: {refund['status']}", refund)
