"""Memberships."""

from alembic import op

revision = "0004"
down_revision = "0003"

STATEMENTS: tuple[str, ...] = (
    # Which part of wallet + held is a free allowance: a label on money, moved by no transfer of its own.
    "ALTER TABLE customers ADD COLUMN free_nano bigint NOT NULL DEFAULT 0 CHECK (free_nano >= 0)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
