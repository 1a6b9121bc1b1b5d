"""Payments, what came of them back, recharge ratios, redemption codes.

`next_check_at` is when the sweeper looks at a row again; claiming a row moves it on, so that one replica has it.
"""

from alembic import op

revision = "0005"
down_revision = "0004"

STATEMENTS: tuple[str, ...] = (
    # What take-backs found missing in the wallet and `uncollected` paid; money that comes in pays it first.
    "ALTER TABLE customers ADD COLUMN debt_nano bigint NOT NULL DEFAULT 0 CHECK (debt_nano >= 0)",
    """
    CREATE TABLE recharge_ratios (
        currency    char(3) PRIMARY KEY,
        price_micro bigint NOT NULL CHECK (price_micro > 0),
        source      text NOT NULL,
        updated_at  timestamptz NOT NULL DEFAULT now()
    )
    """,
    "INSERT INTO recharge_ratios (currency, price_micro, source) VALUES ('USD', 1000000, 'default')",
    """
    CREATE TABLE payments (
        position       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        id             uuid NOT NULL UNIQUE,
        account        uuid NOT NULL,
        method         text NOT NULL CHECK (method IN ('stripe_checkout', 'stripe_invoice')),
        status         text NOT NULL CHECK (status IN (
            'creating', 'open', 'processing', 'succeeded', 'failed', 'expired', 'voided', 'mismatched')),
        amount_minor   bigint NOT NULL CHECK (amount_minor > 0),
        currency       char(3) NOT NULL,
        price_micro    bigint NOT NULL CHECK (price_micro > 0),
        credit_nano    bigint NOT NULL CHECK (credit_nano > 0),
        description    text NOT NULL,
        email          text NOT NULL,
        success_url    text NOT NULL,
        cancel_url     text NOT NULL,
        stripe_object  text UNIQUE,
        stripe_intent  text UNIQUE,
        url            text NOT NULL DEFAULT '',
        failure        text NOT NULL DEFAULT '',
        reversed_minor bigint NOT NULL DEFAULT 0 CHECK (reversed_minor BETWEEN 0 AND amount_minor),
        reversed_nano  bigint NOT NULL DEFAULT 0 CHECK (reversed_nano BETWEEN 0 AND credit_nano),
        created_at     timestamptz NOT NULL,
        updated_at     timestamptz NOT NULL,
        next_check_at  timestamptz NOT NULL
    )
    """,
    "CREATE INDEX payments_account ON payments (account, position)",
    """
    CREATE INDEX payments_due ON payments (next_check_at)
    WHERE status IN ('creating', 'open', 'processing')
    """,
    """
    CREATE TABLE payment_reversals (
        id              uuid PRIMARY KEY,
        payment         uuid NOT NULL REFERENCES payments (id),
        kind            text NOT NULL CHECK (kind IN ('refund', 'chargeback')),
        status          text NOT NULL CHECK (status IN (
            'taking', 'pending', 'open', 'succeeded', 'failed', 'refused', 'won', 'lost')),
        amount_minor    bigint NOT NULL CHECK (amount_minor > 0),
        amount_nano     bigint NOT NULL CHECK (amount_nano >= 0),
        uncollected_nano bigint NOT NULL DEFAULT 0 CHECK (uncollected_nano BETWEEN 0 AND amount_nano),
        requested       boolean NOT NULL,
        reason          text NOT NULL,
        stripe_object   text UNIQUE,
        created_at      timestamptz NOT NULL,
        updated_at      timestamptz NOT NULL,
        next_check_at   timestamptz NOT NULL
    )
    """,
    "CREATE INDEX payment_reversals_payment ON payment_reversals (payment, created_at)",
    """
    CREATE INDEX payment_reversals_due ON payment_reversals (next_check_at)
    WHERE status IN ('taking', 'pending', 'open')
    """,
    """
    CREATE TABLE code_batches (
        position    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        id          uuid NOT NULL UNIQUE,
        name        text NOT NULL,
        amount_nano bigint NOT NULL CHECK (amount_nano > 0),
        size        integer NOT NULL CHECK (size > 0),
        expires_at  timestamptz,
        revoked_at  timestamptz,
        created_at  timestamptz NOT NULL
    )
    """,
    # `redemption` names who won the code; `credited` follows it and is made true by the sweeper if need be.
    """
    CREATE TABLE codes (
        position    bigint GENERATED ALWAYS AS IDENTITY,
        hash        bytea PRIMARY KEY,
        batch       uuid NOT NULL REFERENCES code_batches (id),
        prefix      text NOT NULL,
        account     uuid,
        redemption  uuid,
        redeemed_at timestamptz,
        credited    boolean NOT NULL DEFAULT false,
        CHECK ((account IS NULL) = (redemption IS NULL) AND (account IS NULL) = (redeemed_at IS NULL))
    )
    """,
    "CREATE INDEX codes_batch ON codes (batch, position)",
    "CREATE INDEX codes_uncredited ON codes (redeemed_at) WHERE redemption IS NOT NULL AND NOT credited",
    """
    CREATE TABLE code_guesses (
        account      uuid PRIMARY KEY,
        window_start timestamptz NOT NULL,
        failures     integer NOT NULL
    )
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
