"""Signing keys of ID tokens."""

from alembic import op

revision = "0004"
down_revision = "0003"

_TABLES: tuple[str, ...] = ()


def upgrade() -> None:
    for statement in _TABLES:
        op.execute(statement)
