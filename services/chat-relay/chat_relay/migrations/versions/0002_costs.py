"""What the upstream of a channel takes: a rate of the list price, or prices of its own by model."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE channels ADD COLUMN cost_rate_micro bigint CHECK (cost_rate_micro >= 0)")
    op.execute("ALTER TABLE channels ADD COLUMN costs jsonb NOT NULL DEFAULT '[]'")


def downgrade() -> None:
    op.execute("ALTER TABLE channels DROP COLUMN costs, DROP COLUMN cost_rate_micro")
