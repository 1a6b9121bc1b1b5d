"""Device flow."""

from alembic import op

revision = "0003"
down_revision = "0002"

_TABLES: tuple[str, ...] = ()


def upgrade() -> None:
    for statement in _TABLES:
        op.execute(statement)
