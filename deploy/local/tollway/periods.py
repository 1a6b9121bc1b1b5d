"""The options `--from` and `--to`: days of UTC, or moments with their zone."""

import re
from typing import Annotated

import typer

_DAY = re.compile(r"\d{4}-\d\d-\d\d")

FromOption = Annotated[
    str | None, typer.Option("--from", help="A UTC day such as 2026-11-01, or a moment with its zone.")
]
ToOption = Annotated[str | None, typer.Option("--to", help="As --from; it is not included itself.")]
FromDayOption = Annotated[str | None, typer.Option("--from", help="A UTC day such as 2026-11-01.")]
ToDayOption = Annotated[str | None, typer.Option("--to", help="As --from; it is not included itself.")]


def moments(since: str | None, until: str | None) -> dict[str, str]:
    """Parameters of the API that wants moments: a day is its first moment."""
    given = {"from": since, "to": until}
    return {
        name: f"{text}T00:00:00Z" if _DAY.fullmatch(text) else text for name, text in given.items() if text
    }


def days(since: str | None, until: str | None) -> dict[str, str]:
    """Parameters of the API that wants days."""
    return {name: text for name, text in (("from", since), ("to", until)) if text}
