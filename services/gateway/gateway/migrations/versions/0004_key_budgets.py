"""A budget's clock and alert, and the most that a key may spend at once."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("""
        ALTER TABLE api_keys
            ADD COLUMN budget_timezone text NOT NULL DEFAULT 'UTC',
            ADD COLUMN budget_alert_percent integer CHECK (budget_alert_percent BETWEEN 1 AND 100),
            ADD COLUMN max_charge_nano bigint CHECK (max_charge_nano > 0)
    """)
