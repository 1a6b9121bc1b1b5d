"""People, groups, keys and the outbox."""

from alembic import op

from common.kit.outbox import OUTBOX_DDL

revision = "0001"
down_revision = None

_TABLES = (
    """
    CREATE TABLE groups (
        name        text PRIMARY KEY CHECK (name <> ''),
        rate_micro  bigint NOT NULL CHECK (rate_micro >= 0),
        created_at  timestamptz NOT NULL DEFAULT now()
    )
    """,
    "INSERT INTO groups (name, rate_micro) VALUES ('default', 1000000)",
    """
    CREATE TABLE users (
        id              uuid PRIMARY KEY,
        account         uuid NOT NULL UNIQUE CHECK (account <> id),
        email           text NOT NULL CHECK (email = lower(email)),
        role            text NOT NULL CHECK (role IN ('admin', 'user')),
        group_name      text NOT NULL REFERENCES groups (name),
        password_hash   text,
        enabled         boolean NOT NULL DEFAULT true,
        event_sequence  bigint NOT NULL DEFAULT 0,
        created_at      timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE UNIQUE INDEX users_email ON users (lower(email))",
    """
    CREATE TABLE api_keys (
        id             uuid PRIMARY KEY,
        user_id        uuid NOT NULL REFERENCES users (id),
        name           text NOT NULL CHECK (name <> ''),
        hash           bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
        prefix         text NOT NULL,
        scopes         text[] NOT NULL,
        rpm            integer CHECK (rpm >= 0),
        tpm            integer CHECK (tpm >= 0),
        concurrency    integer CHECK (concurrency >= 0),
        models         text[],
        ips            text[],
        expires_at     timestamptz,
        budget_nano    bigint CHECK (budget_nano >= 0),
        budget_period  text NOT NULL CHECK (budget_period IN ('total', 'day', 'week', 'month')),
        created_at     timestamptz NOT NULL DEFAULT now(),
        revoked_at     timestamptz
    )
    """,
    "CREATE UNIQUE INDEX api_keys_live_name ON api_keys (user_id, name) WHERE revoked_at IS NULL",
    "CREATE INDEX api_keys_user ON api_keys (user_id, id)",
    OUTBOX_DDL,
)


def upgrade() -> None:
    for statement in _TABLES:
        op.execute(statement)
