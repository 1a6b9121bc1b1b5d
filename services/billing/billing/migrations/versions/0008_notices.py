"""Notices: the kept log of the BILLING stream, webhooks, balance alerts."""

from alembic import op

revision = "0008"
down_revision = "0007"

EVENTS = (
    # Bodies are JSON of a few hundred bytes, and compressing the rare large row would cost its writer more.
    """
    CREATE TABLE billing_events (
        account    uuid NOT NULL,
        sequence   bigint NOT NULL,
        last       bigint NOT NULL CHECK (last >= sequence),
        position   bigint NOT NULL DEFAULT nextval('transfers_position_seq'),
        created_at timestamptz NOT NULL,
        events     bytea STORAGE EXTERNAL NOT NULL,
        PRIMARY KEY (account, sequence, created_at)
    ) PARTITION BY RANGE (created_at)
    """,
    "CREATE INDEX billing_events_position ON billing_events (position)",
    "CREATE TABLE billing_events_default PARTITION OF billing_events DEFAULT",
    "CREATE INDEX usage_records_sequence ON usage_records (account, sequence)",
    "SELECT create_partitions(3)",
)
ALERTS = (
    "ALTER TABLE customers ADD COLUMN alert_nano bigint CHECK (alert_nano > 0),"
    " ADD COLUMN alerted boolean NOT NULL DEFAULT false",
)
WEBHOOKS = (
    """
    CREATE TABLE webhook_endpoints (
        id              uuid PRIMARY KEY,
        account         uuid NOT NULL,
        url             text NOT NULL,
        patterns        text[] NOT NULL,
        description     text NOT NULL,
        everybody       boolean NOT NULL,
        enabled         boolean NOT NULL,
        disabled_reason text NOT NULL DEFAULT '',
        failing_since   timestamptz,
        secrets         bytea NOT NULL,
        since_position  bigint NOT NULL, -- what lies up to here in the log happened before it was registered
        created_at      timestamptz NOT NULL
    )
    """,
    "CREATE INDEX webhook_endpoints_account ON webhook_endpoints (account, id)",
    # `due_at` of a leased delivery is when its lease is over.
    """
    CREATE TABLE webhook_deliveries (
        id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        endpoint      uuid NOT NULL REFERENCES webhook_endpoints ON DELETE CASCADE,
        event         uuid NOT NULL,
        type          text NOT NULL,
        account       uuid NOT NULL,
        sequence      bigint NOT NULL,
        body          bytea NOT NULL,
        status        text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'succeeded', 'failed')),
        attempts      integer NOT NULL DEFAULT 0,
        leased        boolean NOT NULL DEFAULT false,
        due_at        timestamptz NOT NULL,
        response_code integer,
        error         text NOT NULL DEFAULT '',
        created_at    timestamptz NOT NULL,
        finished_at   timestamptz
    )
    """,
    "CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint, due_at, id) WHERE status = 'pending'",
    "CREATE INDEX webhook_deliveries_endpoint ON webhook_deliveries (endpoint, id)",
    "CREATE INDEX webhook_deliveries_finished ON webhook_deliveries (finished_at) WHERE status <> 'pending'",
    # How far the log was turned into deliveries.
    "CREATE TABLE webhook_cursor (one boolean PRIMARY KEY DEFAULT true CHECK (one), position bigint NOT NULL)",
    "INSERT INTO webhook_cursor (position) SELECT last_value FROM transfers_position_seq",
)

STATEMENTS: tuple[str, ...] = (*EVENTS, *ALERTS, *WEBHOOKS)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
