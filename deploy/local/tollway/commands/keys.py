"""`tollway keys`: API keys of the users."""

from typing import Annotated, Any

import typer

from tollway.options import suite_command
from tollway.session import Session, SessionError

COLUMNS = ("id", "email", "name", "prefix", "created_at", "expires_at", "revoked_at")

app = typer.Typer(help="API keys of the users.", no_args_is_help=True)

EmailOption = Annotated[str | None, typer.Option("--email", help="Only this user's.")]


@suite_command(app, "list")
def list_keys(session: Session, *, email: EmailOption = None) -> None:
    """List keys, newest last; never their secrets."""
    session.output.records(session.keys(email), COLUMNS)


@suite_command(app, "show")
def show_key(session: Session, key: Annotated[str, typer.Argument(help="Id, or prefix of the key.")]) -> None:
    """Show one key and its limits."""
    session.output.record(_find(session, key))


@suite_command(app, "create")
def create_key(  # noqa: PLR0913  an option for each limit a key may have
    session: Session,
    email: Annotated[str, typer.Argument(help="Whose key it is.")],
    *,
    name: Annotated[str, typer.Option(help="Unique among the user's keys.")] = "default",
    rpm: Annotated[int | None, typer.Option(help="Requests per minute.")] = None,
    tpm: Annotated[int | None, typer.Option(help="Tokens per minute.")] = None,
    concurrency: Annotated[int | None, typer.Option(help="Requests at the same time.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Allowed model; may be repeated.")] = None,
    ip: Annotated[list[str] | None, typer.Option(help="Allowed address or block; may be repeated.")] = None,
    expires_at: Annotated[str | None, typer.Option(help="For example 2027-01-31T00:00:00Z.")] = None,
    budget_usd: Annotated[str | None, typer.Option(help="Most it may spend per period.")] = None,
    budget_period: Annotated[str | None, typer.Option(help="total, day, week or month.")] = None,
    budget_timezone: Annotated[str | None, typer.Option(help="For example Europe/Berlin.")] = None,
    budget_alert_percent: Annotated[int | None, typer.Option(help="Tell when so much is spent.")] = None,
    max_charge_usd: Annotated[str | None, typer.Option(help="Most it may spend at once.")] = None,
    admin: Annotated[bool, typer.Option("--admin", help="May use the management API.")] = False,
) -> None:
    """Make a key; its secret is shown now and never again."""
    limits: dict[str, Any] = {
        "rpm": rpm,
        "tpm": tpm,
        "concurrency": concurrency,
        "models": model or None,
        "ips": ip or None,
        "expires_at": expires_at,
        "budget_usd": budget_usd,
        "budget_period": budget_period,
        "budget_timezone": budget_timezone,
        "budget_alert_percent": budget_alert_percent,
        "max_charge_usd": max_charge_usd,
        "scopes": ["relay", "account", "admin"] if admin else None,
    }
    body = {name: value for name, value in limits.items() if value is not None}
    key = session.send("POST", "/api/keys", {"email": email, "name": name, **body})
    session.output.line(key["secret"], key)


@suite_command(app, "revoke")
def revoke_key(
    session: Session, key: Annotated[str, typer.Argument(help="Id, or prefix of the key.")]
) -> None:
    """End a key for ever; every gateway refuses it within a second."""
    found = _find(session, key)
    session.send("DELETE", f"/api/keys/{found['id']}")
    session.output.line(f"revoked {found['prefix']}… ({found['name']})", {"id": found["id"], "revoked": True})


def _find(session: Session, key: str) -> dict[str, Any]:
    found = [item for item in session.keys(None) if item["id"] == key or item["prefix"] == key]
    if not found:
        raise SessionError(f"there is no key {key}")
    if len(found) > 1:
        raise SessionError(f"{len(found)} keys begin with {key}; name one by its id")
    return found[0]
