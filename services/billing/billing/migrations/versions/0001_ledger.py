"""The ledger: accounts, transfers, leases, usage, prices.

No foreign keys from transfers and usage: they would lock the hot rows once more per row written. The audit
finds what they would have forbidden.
"""

from alembic import op

from common.kit.outbox import OUTBOX_DDL

revision = "0001"
down_revision = None

TABLES = (
    """
    CREATE TABLE accounts (
        id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name           text NOT NULL UNIQUE,
        kind           text NOT NULL CHECK (kind IN ('wallet', 'held', 'platform')),
        customer       uuid,
        currency       char(3) NOT NULL DEFAULT 'USD',
        debits         bigint NOT NULL DEFAULT 0 CHECK (debits >= 0),
        credits        bigint NOT NULL DEFAULT 0 CHECK (credits >= 0),
        allow_negative boolean NOT NULL DEFAULT false,
        created_at     timestamptz NOT NULL DEFAULT now(),
        CHECK (allow_negative OR credits >= debits),
        CHECK ((customer IS NULL) = (kind = 'platform'))
    ) WITH (fillfactor = 50)
    """,
    """
    INSERT INTO accounts (name, kind, allow_negative)
    SELECT name, 'platform', true
    FROM unnest(ARRAY['revenue', 'promo', 'uncollected', 'stripe_clearing', 'fees']) AS name
    """,
    """
    CREATE TABLE customers (
        account          uuid PRIMARY KEY,
        usage_sequence   bigint NOT NULL DEFAULT 0,
        billing_sequence bigint NOT NULL DEFAULT 0,
        low              boolean NOT NULL DEFAULT false,
        recalled_at      timestamptz,
        created_at       timestamptz NOT NULL DEFAULT now()
    ) WITH (fillfactor = 50)
    """,
    """
    CREATE TABLE spenders (
        id           uuid PRIMARY KEY,
        account      uuid NOT NULL,
        kind         text NOT NULL,
        budget_nano  bigint CHECK (budget_nano >= 0),
        period       text NOT NULL DEFAULT 'total' CHECK (period IN ('total', 'day', 'week', 'month')),
        window_start timestamptz NOT NULL DEFAULT 'epoch',
        used_nano    bigint NOT NULL DEFAULT 0 CHECK (used_nano >= 0),
        held_nano    bigint NOT NULL DEFAULT 0 CHECK (held_nano >= 0)
    ) WITH (fillfactor = 50)
    """,
    """
    CREATE TABLE leases (
        id            uuid PRIMARY KEY,
        replica       text NOT NULL,
        account       uuid NOT NULL,
        spender       uuid NOT NULL,
        granted_nano  bigint NOT NULL CHECK (granted_nano >= 0),
        spent_nano    bigint NOT NULL CHECK (spent_nano >= 0),
        returned_nano bigint NOT NULL CHECK (returned_nano >= 0),
        sequence      bigint NOT NULL,
        last_answer   bytea NOT NULL,
        state         text NOT NULL CHECK (state IN ('open', 'closed', 'expired')),
        opened_at     timestamptz NOT NULL,
        expires_at    timestamptz NOT NULL,
        CHECK (spent_nano + returned_nano <= granted_nano),
        CHECK (state <> 'expired' OR spent_nano + returned_nano = granted_nano)
    ) WITH (fillfactor = 70)
    """,
    "CREATE INDEX leases_due ON leases (expires_at) WHERE state <> 'expired'",
    "CREATE INDEX leases_account ON leases (account) WHERE state <> 'expired'",
    """
    CREATE TABLE transfers (
        position       bigint GENERATED ALWAYS AS IDENTITY,
        id             uuid NOT NULL,
        kind           text NOT NULL,
        debit_account  bigint NOT NULL,
        credit_account bigint NOT NULL,
        amount         bigint NOT NULL CHECK (amount > 0),
        debit_after    bigint NOT NULL,
        credit_after   bigint NOT NULL,
        customer       uuid,
        reference      uuid NOT NULL,
        currency       char(3) NOT NULL DEFAULT 'USD',
        posted_at      timestamptz NOT NULL,
        PRIMARY KEY (id, posted_at),
        CHECK (debit_account <> credit_account)
    ) PARTITION BY RANGE (posted_at)
    """,
    "CREATE INDEX transfers_customer ON transfers (customer, position)",
    """
    CREATE TABLE usage_records (
        id               uuid NOT NULL,
        request_id       text NOT NULL,
        account          uuid NOT NULL,
        user_id          text NOT NULL,
        spender          uuid NOT NULL,
        lease            uuid,
        operation        text NOT NULL,
        model            text NOT NULL,
        upstream_model   text NOT NULL,
        channel          text NOT NULL,
        group_name       text NOT NULL,
        started_at       timestamptz NOT NULL,
        duration_ms      integer NOT NULL,
        first_byte_ms    integer,
        status           integer NOT NULL,
        outcome          text NOT NULL,
        streamed         boolean NOT NULL,
        estimated        boolean NOT NULL,
        partial          boolean NOT NULL,
        quantities       jsonb NOT NULL,
        unit_pico        jsonb NOT NULL,
        price_version    integer NOT NULL,
        rate_micro       bigint NOT NULL,
        cost_nano        bigint NOT NULL CHECK (cost_nano >= 0),
        reserved_nano    bigint NOT NULL,
        from_held_nano   bigint NOT NULL CHECK (from_held_nano >= 0),
        overage_nano     bigint NOT NULL CHECK (overage_nano >= 0),
        uncollected_nano bigint NOT NULL CHECK (uncollected_nano >= 0),
        balance_after    bigint NOT NULL,
        held_after       bigint NOT NULL,
        transfer         uuid,
        sequence         bigint NOT NULL,
        posted_at        timestamptz NOT NULL,
        PRIMARY KEY (id, started_at),
        CHECK (from_held_nano + overage_nano + uncollected_nano = cost_nano)
    ) PARTITION BY RANGE (started_at)
    """,
    "CREATE INDEX usage_records_account ON usage_records (account, started_at DESC, id DESC)",
    """
    CREATE TABLE operations (
        id          uuid PRIMARY KEY,
        fingerprint bytea NOT NULL,
        result      bytea NOT NULL,
        created_at  timestamptz NOT NULL DEFAULT now(),
        -- May be forgotten after a while; the others are as old as what they moved.
        temporary   boolean NOT NULL DEFAULT false
    )
    """,
    "CREATE INDEX operations_temporary ON operations (created_at) WHERE temporary",
    """
    CREATE TABLE prices (
        model          text NOT NULL,
        version        integer NOT NULL,
        unit_pico      jsonb NOT NULL,
        context_window integer,
        max_output     integer,
        source         text NOT NULL,
        effective_from timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (model, version)
    )
    """,
    "CREATE INDEX prices_version ON prices (version)",
    "CREATE INDEX prices_source ON prices (source)",
    OUTBOX_DDL,
    """
    CREATE TABLE inbox (
        consumer    text NOT NULL,
        id          uuid NOT NULL,
        received_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (consumer, id)
    )
    """,
)

IMMUTABLE = (
    """
    CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION '% is immutable: a correction is a new row', TG_TABLE_NAME;
    END
    $$
    """,
    """
    CREATE TRIGGER transfers_immutable BEFORE UPDATE OR DELETE ON transfers
    FOR EACH ROW EXECUTE FUNCTION refuse_change()
    """,
    """
    CREATE TRIGGER prices_immutable BEFORE UPDATE OR DELETE ON prices
    FOR EACH ROW EXECUTE FUNCTION refuse_change()
    """,
)

PARTITIONS = (
    "CREATE TABLE transfers_default PARTITION OF transfers DEFAULT",
    "CREATE TABLE usage_records_default PARTITION OF usage_records DEFAULT",
    # Called by the service at start and once a day. A month that the default partition already has rows of
    # is left to it: moving them is a person's decision.
    """
    CREATE FUNCTION create_partitions(months integer) RETURNS integer LANGUAGE plpgsql AS $$
    DECLARE
        parent  text;
        month   timestamp;
        name    text;
        created integer := 0;
    BEGIN
        FOREACH parent IN ARRAY ARRAY['transfers', 'usage_records'] LOOP
            FOR ahead IN 0..months LOOP
                month := date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => ahead);
                name := format('%s_%s', parent, to_char(month, 'YYYY_MM'));
                CONTINUE WHEN to_regclass(name) IS NOT NULL;
                BEGIN
                    EXECUTE format(
                        'CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                        name, parent, month::text || '+00', (month + interval '1 month')::text || '+00'
                    );
                    created := created + 1;
                EXCEPTION
                    WHEN check_violation OR duplicate_table THEN
                        RAISE WARNING 'partition % not created: %', name, SQLERRM;
                END;
            END LOOP;
        END LOOP;
        RETURN created;
    END
    $$
    """,
    "SELECT create_partitions(3)",
)


def upgrade() -> None:
    for statement in (*TABLES, *IMMUTABLE, *PARTITIONS):
        op.execute(statement)
