"""`tollway events`: what happened to an account, told again."""

import json
import sys
import time
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from tollway.options import suite_command
from tollway.session import Session

COLUMNS = ("sequence", "time", "type", "data")
PAGE = 500
POLL_S = 1.0
_ENVELOPE = ("type", "id", "sequence", "account")


def register(app: typer.Typer) -> None:
    """Add the command to the root."""
    suite_command(app, "events")(show_events)


def show_events(
    session: Session,
    *,
    email: Annotated[str, typer.Option("--email", help="Whose events.")],
    stream: Annotated[str, typer.Option(help="billing or usage.")] = "billing",
    after: Annotated[int, typer.Option(min=0, help="Only those with a higher sequence.")] = 0,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with what comes, until Ctrl-C.")] = False,
) -> None:
    """Tell an account's events again, in order."""
    query = {"account": session.user(email)["account"], "stream": stream, "limit": PAGE}
    found: list[dict[str, Any]] = []
    while True:
        page = session.get("/events", {**query, "after": after})
        if page:
            after = int(page[-1]["sequence"])
        if follow:
            _write(session, page)
            if not page:
                time.sleep(POLL_S)
        elif page:
            found += page
        else:
            break
    session.output.records(
        found if session.output.as_json else [{**event, **_shown(event)} for event in found], COLUMNS
    )


def _shown(event: dict[str, Any]) -> dict[str, Any]:
    data = {name: value for name, value in event["data"].items() if name not in _ENVELOPE}
    return {"sequence": int(event["sequence"]), "data": data}


def _write(session: Session, events: Sequence[dict[str, Any]]) -> None:
    for event in events:
        if session.output.as_json:
            sys.stdout.write(json.dumps(event, ensure_ascii=False) + "\n")
        else:
            shown = _shown(event)
            data = ", ".join(f"{name}={value}" for name, value in shown["data"].items())
            session.output.line(f"{shown['sequence']} {event['time']} {event['type']} {data}", event)
    sys.stdout.flush()
