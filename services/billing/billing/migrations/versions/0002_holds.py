"""Holds, the terms of spenders' budgets, refunds of charges."""

from alembic import op

revision = "0002"
down_revision = "0001"

STATEMENTS: tuple[str, ...] = (
    """
    CREATE TABLE holds (
        id                 uuid PRIMARY KEY,
        account            uuid NOT NULL,
        spender            uuid NOT NULL,
        purpose            text NOT NULL,
        reference          text NOT NULL,
        app                text NOT NULL,
        paid_only          boolean NOT NULL,
        state              text NOT NULL CHECK (state IN ('open', 'captured', 'voided', 'expired')),
        amount_nano        bigint NOT NULL CHECK (amount_nano > 0),
        captured_nano      bigint NOT NULL CHECK (captured_nano >= 0),
        released_nano      bigint NOT NULL CHECK (released_nano >= 0),
        refunded_nano      bigint NOT NULL CHECK (refunded_nano BETWEEN 0 AND captured_nano),
        free_nano          bigint NOT NULL CHECK (free_nano BETWEEN 0 AND captured_nano),
        refunded_free_nano bigint NOT NULL CHECK (refunded_free_nano BETWEEN 0 AND free_nano),
        credits            jsonb NOT NULL,
        refunds            jsonb NOT NULL,
        opened_at          timestamptz NOT NULL,
        expires_at         timestamptz NOT NULL,
        resolved_at        timestamptz,
        CHECK ((state = 'open') = (resolved_at IS NULL)),
        CHECK ((state = 'captured') = (captured_nano > 0)),
        CHECK (CASE state WHEN 'open' THEN captured_nano + released_nano = 0
            ELSE captured_nano + released_nano = amount_nano END)
    ) WITH (fillfactor = 70)
    """,
    "CREATE INDEX holds_due ON holds (expires_at) WHERE state = 'open'",
    "CREATE INDEX holds_returned ON holds (resolved_at) WHERE state IN ('voided', 'expired')",
    "CREATE INDEX holds_account ON holds (account, opened_at DESC, id DESC)",
    "CREATE INDEX holds_time ON holds (opened_at DESC, id DESC)",
    """
    ALTER TABLE customers
        ADD COLUMN holds_nano bigint NOT NULL DEFAULT 0 CHECK (holds_nano >= 0),
        ADD COLUMN paid_holds_nano bigint NOT NULL DEFAULT 0
            CHECK (paid_holds_nano BETWEEN 0 AND holds_nano)
    """,
    """
    ALTER TABLE spenders
        ADD COLUMN timezone text NOT NULL DEFAULT 'UTC',
        ADD COLUMN alert_percent integer CHECK (alert_percent BETWEEN 1 AND 100),
        ADD COLUMN max_charge_nano bigint CHECK (max_charge_nano > 0),
        ADD COLUMN alerted boolean NOT NULL DEFAULT false,
        ADD COLUMN exhausted boolean NOT NULL DEFAULT false
    """,
    """
    CREATE TABLE charge_refunds (
        id          uuid PRIMARY KEY,
        record      uuid NOT NULL,
        account     uuid NOT NULL,
        amount_nano bigint NOT NULL CHECK (amount_nano > 0),
        free_nano   bigint NOT NULL CHECK (free_nano BETWEEN 0 AND amount_nano),
        reason      text NOT NULL,
        posted_at   timestamptz NOT NULL,
        -- What of its charge roll-ups go by: the charge may be detached before they come to the refund.
        spender     uuid NOT NULL,
        model       text NOT NULL,
        channel     text NOT NULL,
        app         text NOT NULL,
        started_at  timestamptz NOT NULL,
        cost_known  boolean NOT NULL,
        position    bigint NOT NULL DEFAULT nextval('transfers_position_seq')
    )
    """,
    "CREATE INDEX charge_refunds_record ON charge_refunds (record)",
    "CREATE INDEX charge_refunds_position ON charge_refunds (position)",
    """
    CREATE TRIGGER charge_refunds_immutable BEFORE UPDATE OR DELETE ON charge_refunds
    FOR EACH ROW EXECUTE FUNCTION refuse_change()
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
