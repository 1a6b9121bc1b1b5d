"""Charges of apps, their webhooks and payouts."""

from alembic import op

revision = "0002"
down_revision = "0001"

_TABLES: tuple[str, ...] = ()


def upgrade() -> None:
    for statement in _TABLES:
        op.execute(statement)
