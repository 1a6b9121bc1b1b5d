"""`tollway margins`: what is earned."""

from typing import Annotated

import typer

from tollway.options import suite_command
from tollway.periods import FromDayOption, ToDayOption, days
from tollway.session import Session

COLUMNS = (
    "name",
    "requests",
    "unknown_costs",
    "gross",
    "refunded",
    "revenue",
    "known_revenue",
    "upstream_cost",
    "margin",
    "percent",
)


def register(app: typer.Typer) -> None:
    """Add the command to the root, since it is a question and no noun with verbs."""
    suite_command(app, "margins")(show_margins)


def show_margins(
    session: Session,
    *,
    by: Annotated[str, typer.Option(help="channel or model.")] = "channel",
    since: FromDayOption = None,
    until: ToDayOption = None,
) -> None:
    """Show revenue, what upstreams took and what is left, smallest margin first."""
    found = session.get("/api/billing/margins", {"by": by} | days(since, until))
    if session.output.as_json:
        session.output.record(found)
        return
    session.output.records([*found["data"], found["total"] | {"name": "total"}], COLUMNS)
