"""Memberships as billing tells them, by account; `sequence` is that of the event."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE memberships (
            account  uuid PRIMARY KEY,
            plan     text NOT NULL,
            until    timestamptz,
            sequence bigint NOT NULL,
            CHECK ((plan = '') = (until IS NULL))
        )
        """
    )
