"""Charges of apps, their webhooks and payouts.

Nothing here refers to grants or apps by a foreign key: each charge would then lock its app's row.
"""

from alembic import op

revision = "0002"
down_revision = "0001"

_TABLES: tuple[str, ...] = (
    # `due_at` is when somebody must look: a decision that was asked for and not heard, a hold whose time ends.
    # Settling a charge touches no indexed column, and half of a page is left for it.
    """
    CREATE TABLE charges (
        id              uuid PRIMARY KEY,
        app             uuid NOT NULL,
        client_id       text NOT NULL,
        grant_id        uuid NOT NULL,
        user_id         uuid NOT NULL,
        account         uuid NOT NULL,
        key             text COLLATE "C" NOT NULL,
        fingerprint     bytea NOT NULL,
        state           text NOT NULL CHECK (state IN ('opening', 'requires_capture', 'capturing',
                        'canceling', 'succeeded', 'canceled', 'expired', 'failed')),
        amount_nano     bigint NOT NULL CHECK (amount_nano > 0),
        capture         boolean NOT NULL,
        fee_micro       integer NOT NULL,
        description     text NOT NULL,
        reference       text NOT NULL,
        metadata        text NOT NULL,
        captured_nano   bigint NOT NULL DEFAULT 0,
        refunded_nano   bigint NOT NULL DEFAULT 0,
        refunding_nano  bigint NOT NULL DEFAULT 0,
        fee_nano        bigint NOT NULL DEFAULT 0,
        remaining_nano  bigint,
        failure         text NOT NULL DEFAULT '',
        created_at      timestamptz NOT NULL,
        expires_at      timestamptz,
        due_at          timestamptz,
        UNIQUE (grant_id, key),
        CHECK (captured_nano BETWEEN 0 AND amount_nano),
        CHECK (refunded_nano >= 0 AND refunding_nano >= 0
               AND refunded_nano + refunding_nano <= captured_nano)
    ) WITH (fillfactor = 50)
    """,
    "CREATE INDEX charges_app ON charges (app, id)",
    "CREATE INDEX charges_user ON charges (user_id, id)",
    # One row for each `due_at`, see adapters/postgres/charges.py; `held_by` is the grant of what waits for its
    # capture, `held_for` the app.
    """
    CREATE TABLE charges_due (
        due_at    timestamptz NOT NULL,
        charge    uuid NOT NULL,
        held_by   uuid,
        held_for  uuid
    )
    """,
    "CREATE INDEX charges_due_at ON charges_due (due_at, charge)",
    "CREATE INDEX charges_due_held ON charges_due (held_by) WHERE held_by IS NOT NULL",
    "CREATE INDEX charges_due_app ON charges_due (held_for) WHERE held_for IS NOT NULL",
    """
    CREATE TABLE charge_refunds (
        id           uuid PRIMARY KEY,
        charge       uuid NOT NULL REFERENCES charges (id),
        key          text NOT NULL,
        fingerprint  bytea NOT NULL,
        state        text NOT NULL CHECK (state IN ('pending', 'succeeded', 'failed')),
        amount_nano  bigint NOT NULL CHECK (amount_nano > 0),
        fee_nano     bigint NOT NULL DEFAULT 0,
        reason       text NOT NULL,
        created_at   timestamptz NOT NULL,
        due_at       timestamptz,
        UNIQUE (charge, key)
    )
    """,
    "CREATE INDEX charge_refunds_charge ON charge_refunds (charge, id)",
    "CREATE INDEX charge_refunds_due ON charge_refunds (due_at) WHERE due_at IS NOT NULL",
    """
    CREATE TABLE payouts (
        id           uuid PRIMARY KEY,
        app          uuid NOT NULL REFERENCES apps (id),
        key          text NOT NULL,
        state        text NOT NULL CHECK (state IN ('pending', 'paid', 'failed')),
        amount_nano  bigint NOT NULL CHECK (amount_nano > 0),
        target       text NOT NULL CHECK (target IN ('wallet', 'external')),
        account      uuid NOT NULL,
        reference    text NOT NULL,
        created_by   uuid NOT NULL,
        created_at   timestamptz NOT NULL,
        due_at       timestamptz,
        UNIQUE (app, key)
    )
    """,
    "CREATE INDEX payouts_due ON payouts (due_at) WHERE due_at IS NOT NULL",
    # What moved the money of an app, each line with what is its own: amount = net + fee.
    """
    CREATE TABLE app_entries (
        position     bigint GENERATED ALWAYS AS IDENTITY,
        app          uuid NOT NULL,
        kind         text NOT NULL CHECK (kind IN ('charge', 'refund', 'payout')),
        object       uuid NOT NULL,
        charge       uuid,
        amount_nano  bigint NOT NULL,
        fee_nano     bigint NOT NULL,
        reference    text NOT NULL,
        posted_at    timestamptz NOT NULL,
        PRIMARY KEY (app, position)
    )
    """,
    """
    CREATE TABLE topup_orders (
        id          uuid PRIMARY KEY,
        app         uuid NOT NULL,
        user_id     uuid NOT NULL,
        account     uuid NOT NULL,
        method      text NOT NULL,
        created_at  timestamptz NOT NULL
    )
    """,
    """
    CREATE TABLE app_webhooks (
        app              uuid PRIMARY KEY REFERENCES apps (id),
        url              text NOT NULL,
        secrets          bytea NOT NULL,
        enabled          boolean NOT NULL DEFAULT true,
        disabled_reason  text NOT NULL DEFAULT '',
        failing_since    timestamptz,
        created_at       timestamptz NOT NULL
    )
    """,
    """
    CREATE TABLE app_deliveries (
        id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        app            uuid NOT NULL REFERENCES app_webhooks (app) ON DELETE CASCADE,
        event          uuid NOT NULL,
        type           text NOT NULL,
        body           bytea NOT NULL,
        status         text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'succeeded', 'failed')),
        attempts       integer NOT NULL DEFAULT 0,
        leased         boolean NOT NULL DEFAULT false,
        due_at         timestamptz NOT NULL,
        response_code  integer,
        error          text NOT NULL DEFAULT '',
        created_at     timestamptz NOT NULL,
        finished_at    timestamptz,
        UNIQUE (app, event)
    )
    """,
    "CREATE INDEX app_deliveries_app ON app_deliveries (app, id)",
    "CREATE INDEX app_deliveries_due ON app_deliveries (due_at) WHERE status = 'pending'",
    "CREATE INDEX app_deliveries_finished ON app_deliveries (finished_at) WHERE status <> 'pending'",
)


def upgrade() -> None:
    for statement in _TABLES:
        op.execute(statement)
