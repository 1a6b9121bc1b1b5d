"""`tollway usage`: what was charged, and why it cost what it cost."""

from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from tollway.downloads import save
from tollway.options import suite_command
from tollway.periods import FromDayOption, FromOption, ToDayOption, ToOption, days, moments
from tollway.session import Session

COLUMNS = ("started_at", "model", "quantities", "cost", "outcome", "status", "duration_ms", "id")
SUMS = (
    "period", "name", "requests", "errors", "quantities", "cost", "charged", "free", "refunded", "net",
    "upstream_cost",
)  # fmt: skip

app = typer.Typer(help="What was charged, and why.", no_args_is_help=True)


EmailOption = Annotated[str | None, typer.Option("--email", help="Only this user's.")]
KeyOption = Annotated[str | None, typer.Option("--key", help="Only of this API key or grant, by its id.")]
ModelOption = Annotated[str | None, typer.Option("--model", help="Only of this model.")]
ChannelOption = Annotated[str | None, typer.Option("--channel", help="Only over this channel.")]
AppOption = Annotated[str | None, typer.Option("--app", help="Only through this OAuth app.")]
OperationOption = Annotated[str | None, typer.Option("--operation", help="Only this, such as chat.")]
OutcomeOption = Annotated[str | None, typer.Option("--outcome", help="Only with this outcome, such as ok.")]
EstimatedOption = Annotated[bool | None, typer.Option("--estimated/--not-estimated", help="By whose counts.")]
PartialOption = Annotated[bool | None, typer.Option("--partial/--whole", help="Cut answers, or the others.")]
RequestOption = Annotated[str | None, typer.Option("--request-id", help="Only of this request.")]


@suite_command(app, "list")
def list_usage(  # noqa: PLR0913  one per filter
    session: Session,
    *,
    email: EmailOption = None,
    key: KeyOption = None,
    model: ModelOption = None,
    channel: ChannelOption = None,
    app_id: AppOption = None,
    operation: OperationOption = None,
    outcome: OutcomeOption = None,
    estimated: EstimatedOption = None,
    partial: PartialOption = None,
    request_id: RequestOption = None,
    since: FromOption = None,
    until: ToOption = None,
    limit: Annotated[int, typer.Option(min=1, help="Most records to show.")] = 20,
) -> None:
    """List charges, newest first."""
    users = session.pages("/api/users") if email is None else [session.user(email)]
    emails = {user["account"]: user["email"] for user in users}
    account = "all" if email is None else users[0]["account"]
    asked = {
        "account": account, "spender": key, "model": model, "channel": channel, "app": app_id,
        "operation": operation, "outcome": outcome, "estimated": estimated, "partial": partial,
        "request_id": request_id,
    }  # fmt: skip
    records = session.pages(
        "/api/billing/usage", _given(asked) | moments(since, until), limit, cursor="before"
    )
    named = [{"email": emails.get(record["account"]), **record} for record in records]
    session.output.records(named, COLUMNS if email else ("email", *COLUMNS))


@suite_command(app, "export")
def export_usage(  # noqa: PLR0913  one per filter
    session: Session,
    *,
    form: Annotated[str, typer.Option("--format", help="csv, json or jsonl.")] = "csv",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File; else standard output.")] = None,
    email: EmailOption = None,
    key: KeyOption = None,
    model: ModelOption = None,
    channel: ChannelOption = None,
    app_id: AppOption = None,
    operation: OperationOption = None,
    outcome: OutcomeOption = None,
    estimated: EstimatedOption = None,
    partial: PartialOption = None,
    since: FromOption = None,
    until: ToOption = None,
) -> None:
    """Write charges to a file, however many; amounts are USD."""
    account = "all" if email is None else session.user(email)["account"]
    asked = {
        "format": form, "account": account, "spender": key, "model": model, "channel": channel, "app": app_id,
        "operation": operation, "outcome": outcome, "estimated": estimated, "partial": partial,
    }  # fmt: skip
    params = _given(asked) | moments(since, until)
    size = save(session.download("/api/billing/usage/export", params), output)
    if output is not None:
        session.output.line(f"{output}: {size} bytes", {"file": str(output), "bytes": size})


@suite_command(app, "sum")
def sum_usage(
    session: Session,
    *,
    by: Annotated[str, typer.Option(help="model, key, app, channel or account.")] = "model",
    period: Annotated[str, typer.Option(help="day, month or all.")] = "day",
    email: EmailOption = None,
    since: FromDayOption = None,
    until: ToDayOption = None,
) -> None:
    """Sum usage up by UTC day or month."""
    account = "all" if email is None else session.user(email)["account"]
    asked = {"by": by, "period": period, "account": account} | days(since, until)
    session.output.records(session.pages("/api/billing/rollups", asked), SUMS)


@suite_command(app, "explain")
def explain_usage(
    session: Session,
    request_id: Annotated[str, typer.Argument(help="The answer's x-request-id, or the id of a record.")],
) -> None:
    """Show what a request cost and the calculation, line by line, so that it can be done again by hand."""
    found = session.pages(f"/api/billing/explain/{quote(request_id, safe='')}", cursor="before")
    if session.output.as_json:
        session.output.records(found, ())
        return
    for place, record in enumerate(found):
        if place:
            session.output.line("", {})
        session.output.line(f"{record['id']} {record['started_at']} {record['model']}", {})
        for line in record["explanation"]:
            session.output.line(f"  {line}", {})


def _given(asked: dict[str, str | bool | None]) -> dict[str, str | int]:
    texts = {True: "true", False: "false"}
    return {
        name: texts[value] if isinstance(value, bool) else value
        for name, value in asked.items()
        if value is not None
    }
