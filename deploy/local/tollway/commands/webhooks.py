"""`tollway webhooks`: signed notices to servers of the users' own."""

from typing import Annotated

import typer

from tollway.options import suite_command
from tollway.session import Session

PATH = "/api/billing/webhooks"
COLUMNS = ("id", "url", "events", "all_accounts", "enabled", "disabled_reason", "failing_since")
DELIVERIES = ("id", "type", "sequence", "status", "attempts", "response_code", "error", "next_attempt_at")

app = typer.Typer(help="Signed notices to servers of the users' own.", no_args_is_help=True)

Webhook = Annotated[str, typer.Argument(help="Id of the webhook.")]


@suite_command(app, "create")
def create_webhook(
    session: Session,
    email: Annotated[str, typer.Argument(help="Whose webhook it is.")],
    target: Annotated[str, typer.Argument(help="https URL that the events are posted to.")],
    *,
    event: Annotated[
        list[str] | None, typer.Option(help="Pattern such as 'billing.payment.*'; may be repeated.")
    ] = None,
    description: Annotated[str, typer.Option(help="For people.")] = "",
    all_accounts: Annotated[bool, typer.Option("--all-accounts", help="Events of everybody.")] = False,
) -> None:
    """Register an endpoint and print its secret, which is not shown again."""
    body: dict[str, object] = {"url": target, "description": description, "all_accounts": all_accounts}
    if event:
        body["events"] = event
    account = session.user(email)["account"]
    created = session.send("POST", f"{PATH}?account={account}", body)
    session.output.line(f"{created['id']}\nsecret: {created['secret']}", created)


@suite_command(app, "list")
def list_webhooks(
    session: Session,
    *,
    email: Annotated[str | None, typer.Option("--email", help="Only this user's.")] = None,
) -> None:
    """List endpoints."""
    account = "all" if email is None else session.user(email)["account"]
    session.output.records(session.pages(PATH, {"account": account}), COLUMNS)


@suite_command(app, "test")
def try_webhook(session: Session, webhook: Webhook) -> None:
    """Send a signed test event now and say what the endpoint answered."""
    outcome = session.send("POST", f"{PATH}/{webhook}/test")
    words = (
        f"delivered: {outcome['response_code']}" if outcome["succeeded"] else f"failed: {outcome['error']}"
    )
    session.output.line(words, outcome)
    if not outcome["succeeded"]:
        raise typer.Exit(1)


@suite_command(app, "deliveries")
def list_deliveries(
    session: Session,
    webhook: Webhook,
    *,
    limit: Annotated[int, typer.Option(min=1, help="Most deliveries to show.")] = 20,
) -> None:
    """List what was sent or waits, newest first."""
    found = session.pages(f"{PATH}/{webhook}/deliveries", {}, limit, cursor="before")
    session.output.records(found, DELIVERIES)


@suite_command(app, "redeliver")
def redeliver(
    session: Session,
    webhook: Webhook,
    delivery: Annotated[str, typer.Argument(help="Id of the delivery.")],
) -> None:
    """Send a delivery once more."""
    session.send("POST", f"{PATH}/{webhook}/deliveries/{delivery}/redeliver")
    session.output.line(f"{delivery} will be sent again", {"id": delivery})


@suite_command(app, "rotate")
def rotate_secret(session: Session, webhook: Webhook) -> None:
    """Print a new secret; the old one signs beside it for a day."""
    rotated = session.send("POST", f"{PATH}/{webhook}/rotate")
    session.output.line(f"secret: {rotated['secret']}", rotated)


@suite_command(app, "enable")
def enable_webhook(session: Session, webhook: Webhook) -> None:
    """Send to an endpoint again that was disabled."""
    view = session.send("PATCH", f"{PATH}/{webhook}", {"enabled": True})
    session.output.line(f"{webhook} is enabled", view)


@suite_command(app, "delete")
def delete_webhook(session: Session, webhook: Webhook) -> None:
    """Forget an endpoint and what was still to be sent there."""
    session.send("DELETE", f"{PATH}/{webhook}")
    session.output.line(f"{webhook} is deleted", {"id": webhook})
