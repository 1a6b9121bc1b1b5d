"""Proof over time: one order over transfers and usage, seals, closed months, partitions that come and go.

Usage records and refunds take their position from the transfers' sequence, so one chain covers what moved and
what it was moved for. Positions are given out before commit; the statement triggers make sure that a transaction
has its id before it has a position, which is what lets the sealer know when nothing lower can still appear.
"""

from alembic import op

revision = "0007"
down_revision = "0006"

ORDER = (
    "ALTER TABLE usage_records ADD COLUMN position bigint NOT NULL"
    " DEFAULT nextval('transfers_position_seq')",
    "CREATE INDEX transfers_position ON transfers (position)",
    "CREATE INDEX usage_records_position ON usage_records (position)",
    # Written in this order, so that a few pages of it serve a period without a cost per row.
    "CREATE INDEX usage_records_posted ON usage_records USING brin (posted_at) WITH (autosummarize = on)",
    """
    CREATE FUNCTION take_transaction_id() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_current_xact_id();
        RETURN NULL;
    END
    $$
    """,
    """
    CREATE TRIGGER transfers_order BEFORE INSERT ON transfers
    FOR EACH STATEMENT EXECUTE FUNCTION take_transaction_id()
    """,
    """
    CREATE TRIGGER usage_records_order BEFORE INSERT ON usage_records
    FOR EACH STATEMENT EXECUTE FUNCTION take_transaction_id()
    """,
    """
    CREATE TRIGGER charge_refunds_order BEFORE INSERT ON charge_refunds
    FOR EACH STATEMENT EXECUTE FUNCTION take_transaction_id()
    """,
)
SEALS = (
    """
    CREATE TABLE seals (
        number         bigint PRIMARY KEY,
        first_position bigint NOT NULL,
        last_position  bigint NOT NULL UNIQUE,
        transfers      integer NOT NULL,
        records        integer NOT NULL,
        posted_from    timestamptz,
        posted_to      timestamptz,
        rows_digest    bytea NOT NULL,
        previous       bytea NOT NULL,
        digest         bytea NOT NULL,
        sealed_at      timestamptz NOT NULL,
        CHECK (first_position <= last_position)
    )
    """,
    """
    CREATE TABLE closes (
        month         date PRIMARY KEY CHECK (extract(day FROM month) = 1),
        last_position bigint NOT NULL,
        seal          bigint NOT NULL,
        head          bytea NOT NULL,
        transfers     bigint NOT NULL,
        records       bigint NOT NULL,
        moved_nano    numeric NOT NULL,
        accounts      bigint NOT NULL,
        totals        bytea NOT NULL,
        previous      bytea NOT NULL,
        digest        bytea NOT NULL,
        closed_at     timestamptz NOT NULL
    )
    """,
    # Months that take no more transfers, of which the last is a floor under the ledger's clock.
    "CREATE TABLE bars (month date PRIMARY KEY, barred_at timestamptz NOT NULL DEFAULT now())",
    # What the accounts that moved in the month had come to at its end; the newest row of an account counts.
    """
    CREATE TABLE close_balances (
        month   date NOT NULL,
        account bigint NOT NULL,
        debits  numeric NOT NULL,
        credits numeric NOT NULL,
        PRIMARY KEY (account, month)
    )
    """,
    "CREATE INDEX close_balances_month ON close_balances (month)",
    """
    CREATE TABLE archives (
        name          text PRIMARY KEY,
        parent        text NOT NULL,
        month         date NOT NULL,
        last_position bigint NOT NULL,
        detached_at   timestamptz NOT NULL,
        UNIQUE (parent, month)
    )
    """,
    *(
        f"CREATE TRIGGER {table}_immutable BEFORE UPDATE OR DELETE ON {table}"
        " FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        for table in ("seals", "closes", "close_balances", "archives", "bars")
    ),
)
PARTITIONS = (
    "DROP FUNCTION create_partitions(integer)",
    # Every table that is partitioned by range gets its months. The lock on it is waited for only shortly, since
    # whoever comes after waits too; the caller tries again. A month that the default partition already has
    # rows of is left to it: moving them is a person's decision.
    """
    CREATE FUNCTION create_partitions(months integer, at timestamptz DEFAULT now()) RETURNS integer
    LANGUAGE plpgsql SET lock_timeout = '100ms' AS $$
    DECLARE
        parent  text;
        month   timestamp;
        name    text;
        created integer := 0;
    BEGIN
        FOR parent IN
            SELECT c.relname FROM pg_partitioned_table AS p JOIN pg_class AS c ON c.oid = p.partrelid
            WHERE p.partstrat = 'r' AND c.relnamespace = current_schema()::regnamespace ORDER BY c.relname
        LOOP
            FOR ahead IN 0..months LOOP
                month := date_trunc('month', at AT TIME ZONE 'UTC') + make_interval(months => ahead);
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
)

STATEMENTS: tuple[str, ...] = (*ORDER, *SEALS, *PARTITIONS)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
