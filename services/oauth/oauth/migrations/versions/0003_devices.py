"""Device flow."""

from alembic import op

revision = "0003"
down_revision = "0002"

_TABLES: tuple[str, ...] = (
    # A device that waits for its person (RFC 8628), until it is allowed and has taken its tokens.
    """
    CREATE TABLE devices (
        digest       bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
        user_digest  bytea NOT NULL UNIQUE CHECK (octet_length(user_digest) = 32),
        app          uuid NOT NULL REFERENCES apps (id),
        scopes       text[] NOT NULL,
        details      text NOT NULL DEFAULT '',
        created_at   timestamptz NOT NULL,
        expires_at   timestamptz NOT NULL,
        interval_s   integer NOT NULL,
        polled_at    timestamptz,
        family       uuid REFERENCES families (id) ON DELETE CASCADE,
        denied_at    timestamptz,
        CHECK (family IS NULL OR denied_at IS NULL)
    )
    """,
    "CREATE INDEX devices_expiry ON devices (expires_at)",
    "CREATE INDEX devices_family ON devices (family) WHERE family IS NOT NULL",
    # Wrong guesses at user codes, per person and window.
    """
    CREATE TABLE device_guesses (
        user_id  uuid PRIMARY KEY,
        wrong    integer NOT NULL CHECK (wrong >= 0),
        since    timestamptz NOT NULL
    )
    """,
    "CREATE INDEX device_guesses_since ON device_guesses (since)",
)


def upgrade() -> None:
    for statement in _TABLES:
        op.execute(statement)
