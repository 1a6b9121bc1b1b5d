"""Plans, memberships and the free allowance.

A membership is a function of the account's payments (see memberships.domain.memberships): `customers` keeps
what it is now, and the index finds the payments among the transfers.
"""

from alembic import op

revision = "0004"
down_revision = "0003"

STATEMENTS: tuple[str, ...] = (
    # Which part of wallet + held is a free allowance: a label on money, moved by no transfer of its own.
    "ALTER TABLE customers ADD COLUMN free_nano bigint NOT NULL DEFAULT 0 CHECK (free_nano >= 0)",
    """
    ALTER TABLE customers
        ADD COLUMN plan text NOT NULL DEFAULT '',
        ADD COLUMN plan_since timestamptz,
        ADD COLUMN plan_until timestamptz,
        ADD COLUMN allowance_until timestamptz NOT NULL DEFAULT 'epoch',
        ADD CHECK ((plan = '') = (plan_until IS NULL))
    """,
    "CREATE INDEX customers_plan_until ON customers (plan_until) WHERE plan_until IS NOT NULL",
    """
    CREATE INDEX transfers_payments ON transfers (customer, position) WHERE kind IN (
        'topup', 'payment', 'redemption', 'payment_refund', 'payment_refund_reversed', 'chargeback',
        'chargeback_reversed')
    """,
    """
    ALTER TABLE usage_records ADD COLUMN free_nano bigint NOT NULL DEFAULT 0
        CHECK (free_nano BETWEEN 0 AND from_held_nano + overage_nano)
    """,
    """
    CREATE TABLE plans (
        version    integer PRIMARY KEY,
        plans      jsonb NOT NULL,
        source     text NOT NULL,
        reviewed   boolean NOT NULL DEFAULT false,
        created_at timestamptz NOT NULL DEFAULT now()
    )
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
