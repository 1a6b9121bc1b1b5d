"""`tollway grants`: what people allowed apps."""

from typing import Annotated

import typer

from tollway.options import suite_command
from tollway.session import Session

PATH = "/api/oauth/grants"
COLUMNS = ("id", "app", "scopes", "limit", "period", "max_per_charge", "expires_at", "used_at", "revoked_by")

app = typer.Typer(help="What people allowed apps.", no_args_is_help=True)


@suite_command(app, "list")
def list_grants(
    session: Session,
    email: Annotated[str, typer.Argument(help="Whose grants they are.")],
    *,
    ended: Annotated[bool, typer.Option("--ended", help="Those that ended, too.")] = False,
) -> None:
    """List a person's grants, oldest first."""
    params = {"user": session.user(email)["id"], "ended": "true" if ended else "false"}
    session.output.records(session.pages(PATH, params), COLUMNS)


@suite_command(app, "revoke")
def revoke_grant(session: Session, grant: Annotated[str, typer.Argument(help="Id of the grant.")]) -> None:
    """End a grant; every replica refuses its tokens within a second."""
    session.send("DELETE", f"{PATH}/{grant}")
    session.output.line(f"{grant} is revoked", {"id": grant, "revoked": True})
