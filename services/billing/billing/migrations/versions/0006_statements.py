"""Statements: what usage is searched by, roll-ups by day, billing details and invoices.

Roll-ups follow the position of usage records, which the next migration gives them.
"""

from alembic import op

revision = "0006"
down_revision = "0005"

STATEMENTS: tuple[str, ...] = (
    "ALTER TABLE usage_records ADD COLUMN app text NOT NULL DEFAULT ''",
    "ALTER TABLE usage_records ADD COLUMN upstream_cost_nano bigint CHECK (upstream_cost_nano >= 0)",
    "CREATE INDEX usage_records_spender ON usage_records (spender, started_at DESC, id DESC)",
    # On an expression, so that it serves the log of everybody alone: see adapters/postgres/usage.py.
    "CREATE INDEX usage_records_time ON usage_records ((started_at AT TIME ZONE 'UTC') DESC, id DESC)",
    "CREATE INDEX usage_records_request ON usage_records (request_id)",
    # Statements go by time first; the order of positions within it is the order of the ledger.
    "DROP INDEX transfers_customer",
    "CREATE INDEX transfers_customer ON transfers (customer, posted_at DESC, position DESC)",
    """
    CREATE TABLE usage_daily (
        account         uuid NOT NULL,
        day             date NOT NULL,
        spender         uuid NOT NULL,
        model           text NOT NULL,
        channel         text NOT NULL,
        app             text NOT NULL,
        requests        bigint NOT NULL,
        errors          bigint NOT NULL,
        estimated       bigint NOT NULL,
        unknown_costs   bigint NOT NULL,
        cost_nano       numeric NOT NULL,
        charged_nano    numeric NOT NULL,
        free_nano       numeric NOT NULL,
        refunded_nano   numeric NOT NULL,
        refunded_free_nano numeric NOT NULL,
        upstream_nano   numeric NOT NULL,
        known_paid_nano numeric NOT NULL,
        quantities      jsonb NOT NULL,
        PRIMARY KEY (account, day, spender, model, channel, app)
    ) WITH (fillfactor = 70)
    """,
    "CREATE INDEX usage_daily_day ON usage_daily (day)",
    """
    CREATE TABLE rollup_cursor (
        only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
        position bigint NOT NULL
    )
    """,
    "INSERT INTO rollup_cursor (position) VALUES (0)",
    # {"input": 1} and {"input": 2, "call": 1} make {"input": 3, "call": 1}
    """
    CREATE FUNCTION add_quantities(jsonb, jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
        SELECT coalesce(jsonb_object_agg(unit, quantity), '{}') FROM (
            SELECT key AS unit, sum(value::numeric) AS quantity
            FROM (SELECT * FROM jsonb_each_text($1) UNION ALL SELECT * FROM jsonb_each_text($2)) AS both_sides
            GROUP BY key
        ) AS added
    $$
    """,
    """
    CREATE TABLE billing_details (
        account    uuid PRIMARY KEY,
        details    jsonb NOT NULL,
        changed_at timestamptz NOT NULL
    )
    """,
    "CREATE TABLE invoice_numbers (series text PRIMARY KEY, last bigint NOT NULL)",
    """
    CREATE TABLE invoices (
        series    text NOT NULL,
        number    bigint NOT NULL,
        account   uuid NOT NULL,
        month     date NOT NULL,
        document  jsonb NOT NULL,
        issued_at timestamptz NOT NULL,
        PRIMARY KEY (series, number),
        UNIQUE (account, month)
    )
    """,
    """
    CREATE TRIGGER invoices_immutable BEFORE UPDATE OR DELETE ON invoices
    FOR EACH ROW EXECUTE FUNCTION refuse_change()
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
