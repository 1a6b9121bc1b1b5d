"""Signing keys of ID tokens."""

from alembic import op

revision = "0004"
down_revision = "0003"

_TABLES: tuple[str, ...] = (
    # RSA keys that sign ID tokens: `sealed` is the private key under the service's secret key.
    """
    CREATE TABLE signing_keys (
        kid         text PRIMARY KEY,
        public_jwk  text NOT NULL,
        sealed      bytea NOT NULL,
        created_at  timestamptz NOT NULL,
        active_at   timestamptz NOT NULL,
        expires_at  timestamptz
    )
    """,
)


def upgrade() -> None:
    for statement in _TABLES:
        op.execute(statement)
