"""What the sweeps look for, by index: grants and apps that ended lately, consents of the day before."""

from alembic import op

revision = "0005"
down_revision = "0004"

_INDEXES: tuple[str, ...] = (
    "CREATE INDEX grants_ended ON grants (revoked_at) WHERE revoked_at IS NOT NULL",
    "CREATE INDEX grants_expiry ON grants (expires_at) WHERE expires_at IS NOT NULL",
    "CREATE INDEX apps_ended ON apps (disabled_at) WHERE disabled_at IS NOT NULL",
    "CREATE INDEX families_made ON families (created_at)",
)


def upgrade() -> None:
    for statement in _INDEXES:
        op.execute(statement)
