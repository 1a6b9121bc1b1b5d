"""`tollway plans`: what there is to be a member of."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from common.kit.bootstrap import load_bootstrap
from tollway.options import suite_command
from tollway.session import Session, SessionError

COLUMNS = ("name", "rank", "group", "models", "rules", "allowance")

app = typer.Typer(help="What there is to be a member of.", no_args_is_help=True)


@suite_command(app, "list")
def list_plans(session: Session) -> None:
    """List the plans in force."""
    plans = session.pages("/api/billing/plans")
    session.output.records(plans if session.output.as_json else [_shown(plan) for plan in plans], COLUMNS)


@suite_command(app, "set")
def set_plans(
    session: Session,
    file: Annotated[Path, typer.Argument(help="A TOML file with all the [[plans]] that are to be in force.")],
) -> None:
    """Put the plans of a file in force in place of all others, for running memberships too."""
    specs = load_bootstrap(file, secrets_of=()).plans
    if not specs:
        raise SessionError(f"{file} has no [[plans]]")
    answer = session.send("PUT", "/api/billing/plans", {"plans": msgspec.to_builtins(specs)})
    session.output.line(f"version {answer['version']}: {len(answer['data'])} plans", answer)


def _shown(plan: dict[str, Any]) -> dict[str, Any]:
    rules = (
        f"{rule['amount']} in {rule['within'] or rule['gives']}: {rule['gives']}" for rule in plan["rules"]
    )
    allowance = plan["allowance"]
    return plan | {
        "models": "all" if plan["models"] is None else ", ".join(plan["models"]),
        "rules": "; ".join(rules) or "everybody",
        "allowance": allowance and f"{allowance['amount']} a {allowance['period']}, {allowance['time_zone']}",
    }
