"""Leases that are due are found without passing over those that gave everything back."""

from alembic import op

revision = "0010"
down_revision = "0009"

STATEMENTS: tuple[str, ...] = (
    # A column of its own, so that a charge, which changes what is spent, moves no index entry.
    """
    ALTER TABLE leases ADD COLUMN due_at timestamptz GENERATED ALWAYS AS
        (CASE WHEN state = 'open' OR spent_nano + returned_nano < granted_nano THEN expires_at END) STORED
    """,
    "DROP INDEX leases_due",
    "CREATE INDEX leases_due ON leases (due_at) WHERE due_at IS NOT NULL",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
