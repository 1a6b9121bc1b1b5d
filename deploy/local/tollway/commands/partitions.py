"""`tollway partitions`: the ledger's monthly tables."""

import typer

from tollway.options import suite_command
from tollway.session import Session

COLUMNS = ("name", "attached", "bytes", "detached_at")

app = typer.Typer(help="The ledger's monthly tables.", no_args_is_help=True)


@suite_command(app, "list")
def list_partitions(session: Session) -> None:
    """List the tables of every month, those that were detached for archiving too."""
    session.output.records(session.pages("/api/billing/partitions"), COLUMNS)
