"""Speed."""

from alembic import op

revision = "0009"
down_revision = "0008"

STATEMENTS: tuple[str, ...] = (
    # No query asks for it, and every renewal of a lease wrote it anew.
    "DROP INDEX leases_account",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
