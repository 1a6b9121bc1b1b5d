"""`tollway prices`: the price book."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from tollway.options import suite_command
from tollway.session import Session, SessionError

COLUMNS = ("model", "prices", "max_output", "version", "source")
TOKENS = ("context_window", "max_output")

app = typer.Typer(help="The price book.", no_args_is_help=True)


@suite_command(app, "list")
def list_prices(
    session: Session, *, prefix: Annotated[str, typer.Option(help="Only models that begin so.")] = ""
) -> None:
    """List the prices in force: USD per million tokens, or per one of other units."""
    prices = [price for price in _prices(session) if price["model"].startswith(prefix)]
    session.output.records(prices, COLUMNS)


@suite_command(app, "show")
def show_price(session: Session, model: str) -> None:
    """Show the price of one model."""
    for price in _prices(session):
        if price["model"] == model:
            session.output.record(price)
            return
    raise SessionError(f"{model} has no price")


@suite_command(app, "set")
def set_price(
    session: Session,
    model: str,
    fields: Annotated[list[str], typer.Argument(help="input=0.15 output=0.60 max_output=16384 …")],
) -> None:
    """Put a price in force for new requests; the fields are those of [[prices]] in tollway.toml."""
    body: dict[str, str | int] = {}
    for field in fields:
        name, sign, value = field.partition("=")
        if not sign:
            raise SessionError(f"{field} is no FIELD=VALUE")
        body[name] = int(value) if name in TOKENS and value.isdecimal() else value
    price = session.send("PUT", f"/api/billing/prices/{quote(model)}", body)
    session.output.line(f"{model}: version {price['version']}", price)


def _prices(session: Session) -> list[dict[str, Any]]:
    return session.pages("/api/billing/prices")
