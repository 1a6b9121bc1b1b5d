"""`tollway prices`: the price book."""

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
import typer

from common.kit.bootstrap import load_bootstrap
from tollway.options import suite_command
from tollway.session import Session, SessionError

COLUMNS = ("model", "prices", "tiers", "max_output", "version", "source")
VERSION_COLUMNS = ("version", "effective_from", "prices", "tiers", "source")
SUM_COLUMNS = ("requests", "old", "new", "difference", "percent")
TOKENS = ("context_window", "max_output", "above")

app = typer.Typer(help="The price book.", no_args_is_help=True)


@suite_command(app, "list")
def list_prices(
    session: Session,
    *,
    prefix: Annotated[str, typer.Option(help="Only models that begin so.")] = "",
    upcoming: Annotated[bool, typer.Option("--upcoming", help="Those to come instead.")] = False,
) -> None:
    """List the prices in force: USD per million tokens, or per one of other units."""
    prices = _upcoming(session) if upcoming else _prices(session)
    found = [_shown(price, session) for price in prices if price["model"].startswith(prefix)]
    session.output.records(found, ("effective_from", *COLUMNS) if upcoming else COLUMNS)


@suite_command(app, "show")
def show_price(session: Session, model: str) -> None:
    """Show the price that a request for this model gets, which may be kept under its name without a date."""
    session.output.record(_shown(session.get(_path(model)), session))


@suite_command(app, "versions")
def list_versions(session: Session, model: str) -> None:
    """List every price that the model had, has and will have, newest version first."""
    versions = session.pages(f"{_path(model)}/versions", cursor="before")
    session.output.records([_shown(price, session) for price in versions], VERSION_COLUMNS)


@suite_command(app, "set")
def set_price(
    session: Session,
    model: str,
    fields: Annotated[
        list[str],
        typer.Argument(help="input=0.15 output=0.60 max_output=16384 effective_from=2027-01-01T00:00:00Z …"),
    ],
    *,
    tier: Annotated[
        list[str] | None,
        typer.Option(help='Prices of longer prompts: --tier "above=200000 input=6 output=22.5"; repeatable.'),
    ] = None,
) -> None:
    """Put a price in force for new requests; the fields are those of prices in tollway.toml."""
    body: dict[str, Any] = dict(_fields(fields))
    if tier:
        body["tiers"] = [_fields(text.split()) for text in tier]
    price = session.send("PUT", _path(model), body)
    session.output.line(f"{model}: version {price['version']} from {price['effective_from']}", price)


@suite_command(app, "simulate")
def simulate_prices(  # noqa: PLR0913  one per option
    session: Session,
    file: Annotated[Path, typer.Argument(help="A draft: tables prices and multipliers as in tollway.toml.")],
    *,
    since: Annotated[str, typer.Option("--from", help="RFC 3339 time, or a day (UTC).")],
    until: Annotated[str, typer.Option("--to", help="The end, excluded.")],
    email: Annotated[str | None, typer.Option("--email", help="Only this user's usage.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Only this model; may end with *.")] = None,
    group: Annotated[str | None, typer.Option("--group", help="Only this group.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Most users and models to list.")] = 50,
) -> None:
    """Price past usage again under a draft, and show who would have paid how much more or less."""
    draft = load_bootstrap(file, secrets_of=())
    body: dict[str, Any] = {
        "prices": _written(draft.prices),
        "multipliers": _written(draft.multipliers),
        "from": _time(since),
        "to": _time(until),
        "limit": limit,
    }
    if email is not None:
        body["account"] = session.user(email)["account"]
    body |= {name: value for name, value in (("model", model), ("group", group)) if value is not None}
    report = session.send("POST", "/api/billing/prices/simulate", body)
    if session.output.as_json:
        session.output.record(report)
        return
    emails = {user["account"]: user["email"] for user in session.pages("/api/users")}
    accounts = [{"user": emails.get(row["account"], row["account"]), **row} for row in report["accounts"]]
    session.output.records(accounts, ("user", *SUM_COLUMNS))
    session.output.line("", {})
    session.output.records(report["models"], ("model", *SUM_COLUMNS))
    session.output.line("", {})
    session.output.records([report["total"]], SUM_COLUMNS)
    if report["unpriced"]:
        session.output.line(
            f"{report['unpriced']} requests have no price in the draft and keep their cost", {}
        )


def _prices(session: Session) -> list[dict[str, Any]]:
    return session.pages("/api/billing/prices")


def _upcoming(session: Session) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after: str | None = ""
    while after is not None:
        page = session.get("/api/billing/prices", {"limit": 500, "after": after})
        found += page["upcoming"]
        after = page["next"]
    return sorted(found, key=lambda price: (price["effective_from"], price["model"]))


def _shown(price: dict[str, Any], session: Session) -> dict[str, Any]:
    """For people a tier is one word of text for each price."""
    if session.output.as_json:
        return price
    tiers = [
        f"above {tier['above']}: " + " ".join(f"{name}={value}" for name, value in tier["prices"].items())
        for tier in price["tiers"]
    ]
    return {**price, "tiers": tiers or None}


def _fields(texts: list[str]) -> dict[str, str | int]:
    fields: dict[str, str | int] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign:
            raise SessionError(f"{text} is no FIELD=VALUE")
        fields[name] = int(value) if name in TOKENS and value.isdecimal() else value
    return fields


def _written(specs: object) -> list[dict[str, Any]]:
    """Only what the file says, so that an older suite need not know newer fields."""
    found: list[dict[str, Any]] = []
    for fields in msgspec.to_builtins(specs):
        found.append({name: value for name, value in fields.items() if value is not None})
        if "tiers" in fields:
            found[-1]["tiers"] = _written(fields["tiers"])
    return found


def _time(text: str) -> str:
    return f"{text}T00:00:00Z" if len(text) == len("2026-11-01") else text


def _path(model: str) -> str:
    return f"/api/billing/prices/{quote(model)}"
