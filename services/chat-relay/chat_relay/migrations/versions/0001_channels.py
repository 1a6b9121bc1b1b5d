"""Channels."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE channels (
            name               text PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 100),
            kind               text NOT NULL,
            base_url           text NOT NULL,
            models             text[] NOT NULL,
            model_map          jsonb NOT NULL DEFAULT '{}',
            priority           integer NOT NULL DEFAULT 0,
            weight             integer NOT NULL DEFAULT 1 CHECK (weight >= 0),
            groups             text[] NOT NULL,
            enabled            boolean NOT NULL DEFAULT true,
            api_keys_encrypted bytea NOT NULL,
            created_at         timestamptz NOT NULL DEFAULT now(),
            changed_at         timestamptz NOT NULL DEFAULT now()
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE channels")
