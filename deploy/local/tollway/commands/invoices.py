"""`tollway invoices`: documents of a month."""

from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from tollway.downloads import save
from tollway.options import suite_command
from tollway.session import Session

COLUMNS = ("number", "email", "since", "until", "charged", "closing", "issued_at")

app = typer.Typer(help="Invoices.", no_args_is_help=True)


@suite_command(app, "create")
def create_invoice(
    session: Session, email: str, month: Annotated[str, typer.Argument(help="Such as 2026-11; it is over.")]
) -> None:
    """Issue a user's invoice of a month; the same month is the same invoice."""
    body = {"month": month, "account": session.user(email)["account"]}
    invoice = session.send("POST", "/api/billing/invoices", body)
    session.output.line(f"{invoice['number']}: {invoice['charged']} {invoice['currency']}", invoice)


@suite_command(app, "list")
def list_invoices(
    session: Session,
    *,
    email: Annotated[str | None, typer.Option("--email", help="Only this user's.")] = None,
) -> None:
    """List issued invoices, newest first."""
    users = session.pages("/api/users") if email is None else [session.user(email)]
    emails = {user["account"]: user["email"] for user in users}
    account = "all" if email is None else users[0]["account"]
    rows = session.pages("/api/billing/invoices", {"account": account})
    session.output.records([{"email": emails.get(row["account"]), **row} for row in rows], COLUMNS)


@suite_command(app, "download")
def download_invoice(
    session: Session,
    number: str,
    *,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File; else NUMBER.pdf.")] = None,
) -> None:
    """Save an issued invoice as a PDF."""
    target = output or Path(f"{Path(number).name}.pdf")
    size = save(session.download(f"/api/billing/invoices/{quote(number, safe='')}.pdf"), target)
    session.output.line(f"{target}: {size} bytes", {"file": str(target), "bytes": size})
