"""Sign-in: sessions and failed attempts."""

from alembic import op

revision = "0002"
down_revision = "0001"

_TABLES = (
    """
    CREATE TABLE sessions (
        id          uuid PRIMARY KEY,
        user_id     uuid NOT NULL REFERENCES users (id),
        digest      bytea NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
        created_at  timestamptz NOT NULL,
        seen_at     timestamptz NOT NULL
    )
    """,
    "CREATE INDEX sessions_user ON sessions (user_id)",
    "CREATE INDEX sessions_seen ON sessions (seen_at)",
    """
    CREATE TABLE sign_in_failures (
        name      bytea PRIMARY KEY,
        failures  integer NOT NULL CHECK (failures >= 0),
        last_at   timestamptz NOT NULL
    )
    """,
    "CREATE INDEX sign_in_failures_last ON sign_in_failures (last_at)",
)


def upgrade() -> None:
    for statement in _TABLES:
        op.execute(statement)
