"""`tollway apps`: third-party apps that people sign in to and allow to charge them."""

from typing import Annotated, Any

import typer

from tollway.options import suite_command
from tollway.session import Session, SessionError

PATH = "/api/oauth/apps"
COLUMNS = ("client_id", "name", "auth_method", "scopes", "fee", "secrets", "owner", "disabled_by")
_AMOUNTS = ("amount", "amount_captured", "amount_refunded", "fee")
CHARGE_COLUMNS = ("created_at", "id", "status", *_AMOUNTS, "user", "reference", "description")
PAID_COLUMNS = ("created_at", "id", "app", "status", *_AMOUNTS, "reference", "description")

app = typer.Typer(help="Third-party apps that people sign in to.", no_args_is_help=True)

ClientId = Annotated[str, typer.Argument(help="Client id of the app.")]


@suite_command(app, "list")
def list_apps(session: Session) -> None:
    """List everybody's apps, oldest first; never their secrets."""
    session.output.records(session.pages(PATH, {"all": "true"}), COLUMNS)


@suite_command(app, "show")
def show_app(session: Session, client_id: ClientId) -> None:
    """Show one app."""
    session.output.record(session.get(f"{PATH}/{client_id}"))


@suite_command(app, "create")
def create_app(  # noqa: PLR0913  an option for each field an app may have
    session: Session,
    name: Annotated[str, typer.Argument(help="What people are shown.")],
    redirect_uri: Annotated[list[str], typer.Argument(help="Where browsers return to; may be several.")],
    *,
    scope: Annotated[list[str] | None, typer.Option(help="What it may ask; may be repeated.")] = None,
    description: Annotated[str, typer.Option(help="For people.")] = "",
    homepage: Annotated[str, typer.Option(help="https address of the app.")] = "",
    public: Annotated[bool, typer.Option("--public", help="It keeps no secret.")] = False,
    fee: Annotated[str | None, typer.Option(help="The platform's share of each charge, as 0.05.")] = None,
) -> None:
    """Register an app of the operator's; its secret is shown now and never again."""
    body: dict[str, Any] = {"name": name, "redirect_uris": redirect_uri, "description": description}
    body |= {"homepage": homepage} | ({"fee": fee} if fee is not None else {})
    body |= ({"auth_method": "none"} if public else {}) | ({"scopes": scope} if scope else {})
    created = session.send("POST", PATH, body)
    secret = created["client_secret"]
    session.output.line(f"{created['client_id']}" + (f"\nsecret: {secret}" if secret else ""), created)


@suite_command(app, "rotate")
def rotate_secret(
    session: Session,
    client_id: ClientId,
    *,
    drop: Annotated[bool, typer.Option("--drop", help="End the old secret; makes no new one.")] = False,
) -> None:
    """Print a new secret; the old one counts beside it until --drop."""
    if drop:
        session.send("DELETE", f"{PATH}/{client_id}/secrets/previous")
        session.output.line("only the newest secret counts", {"client_id": client_id, "secrets": 1})
        return
    rotated = session.send("POST", f"{PATH}/{client_id}/secrets")
    session.output.line(f"secret: {rotated['client_secret']}", rotated)


@suite_command(app, "disable")
def disable_app(session: Session, client_id: ClientId) -> None:
    """Stop every token of an app; every replica refuses them within a second."""
    view = session.send("POST", f"{PATH}/{client_id}/disable")
    session.output.line(f"{client_id} is disabled", view)


@suite_command(app, "enable")
def enable_app(session: Session, client_id: ClientId) -> None:
    """Let a disabled app go on."""
    view = session.send("POST", f"{PATH}/{client_id}/enable")
    session.output.line(f"{client_id} is enabled", view)


@suite_command(app, "charges")
def list_charges(
    session: Session,
    *,
    user: Annotated[str | None, typer.Option("--user", help="What this user paid, by e-mail.")] = None,
    client_id: Annotated[str | None, typer.Option("--app", help="What this app took.")] = None,
    status: Annotated[str | None, typer.Option(help="Only these, such as succeeded.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most charges to show.")] = 20,
) -> None:
    """List what apps charged, newest first: of a user, by an app, or both."""
    asked = {"status": status} if status else {}
    if user is not None:
        asked |= {"user": session.user(user)["id"]} | ({"app": client_id} if client_id else {})
        session.output.records(session.pages("/api/oauth/charges", asked, limit), PAID_COLUMNS)
        return
    if client_id is None:
        raise SessionError("whose charges? --user EMAIL, --app CLIENT_ID or both")
    session.output.records(session.pages(f"{PATH}/{client_id}/charges", asked, limit), CHARGE_COLUMNS)


@suite_command(app, "keys")
def list_signing_keys(
    session: Session,
    *,
    rotate: Annotated[bool, typer.Option("--rotate", help="Make the next key before its time.")] = False,
    at_once: Annotated[
        bool, typer.Option("--at-once", help="With --rotate: the key leaked, nothing it signed counts.")
    ] = False,
) -> None:
    """List the keys that sign ID tokens, newest first."""
    path = "/api/oauth/keys"
    found = session.send("POST", f"{path}/rotate", {"at_once": at_once}) if rotate else session.get(path)
    session.output.records(found["data"], ("kid", "active_at", "expires_at"))
