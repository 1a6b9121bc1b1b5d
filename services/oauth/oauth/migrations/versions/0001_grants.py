"""Apps, people, grants, tokens, and everything that is used once."""

from alembic import op

from common.kit.outbox import OUTBOX_DDL

revision = "0001"
down_revision = None

_TABLES = (
    # The people of the gateway, as far as they concern this service.
    """
    CREATE TABLE people (
        user_id        uuid PRIMARY KEY,
        account        uuid NOT NULL,
        email          text NOT NULL DEFAULT '',
        enabled        boolean NOT NULL DEFAULT true,
        event_sequence bigint NOT NULL DEFAULT 0,
        -- The gateway's event after which it was asked about the person.
        identity_sequence bigint NOT NULL DEFAULT 0
    )
    """,
    """
    CREATE TABLE apps (
        id             uuid PRIMARY KEY,
        client_id      text NOT NULL UNIQUE,
        owner          uuid,
        owner_account  uuid,
        name           text NOT NULL,
        description    text NOT NULL DEFAULT '',
        homepage       text NOT NULL DEFAULT '',
        auth_method    text NOT NULL CHECK (auth_method IN
                       ('none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt')),
        secrets        bytea[] NOT NULL DEFAULT '{}',
        jwks           text,
        redirect_uris  text[] NOT NULL,
        scopes         text[] NOT NULL,
        fee_micro      integer NOT NULL DEFAULT 0 CHECK (fee_micro BETWEEN 0 AND 1000000),
        require_par    boolean NOT NULL DEFAULT false,
        require_dpop   boolean NOT NULL DEFAULT false,
        created_at     timestamptz NOT NULL,
        updated_at     timestamptz NOT NULL,
        disabled_at    timestamptz,
        disabled_by    text CHECK ((disabled_by IS NULL) = (disabled_at IS NULL))
    )
    """,
    "CREATE INDEX apps_owner ON apps (owner, id)",
    """
    CREATE TABLE grants (
        id              uuid PRIMARY KEY,
        app             uuid NOT NULL REFERENCES apps (id),
        user_id         uuid NOT NULL REFERENCES people (user_id),
        scopes          text[] NOT NULL,
        limit_nano      bigint CHECK (limit_nano > 0),
        period          text NOT NULL DEFAULT 'total' CHECK (period IN ('total', 'day', 'week', 'month')),
        timezone        text NOT NULL DEFAULT 'UTC',
        max_charge_nano bigint CHECK (max_charge_nano > 0),
        expires_at      timestamptz,
        created_at      timestamptz NOT NULL,
        updated_at      timestamptz NOT NULL,
        revoked_at      timestamptz,
        revoked_by      text CHECK ((revoked_by IS NULL) = (revoked_at IS NULL))
    )
    """,
    # One live grant of a person to an app: consenting again changes it, and what was spent stays counted.
    "CREATE UNIQUE INDEX grants_live ON grants (app, user_id) WHERE revoked_at IS NULL",
    "CREATE INDEX grants_user ON grants (user_id, id)",
    "CREATE INDEX grants_app ON grants (app, id)",
    # What a browser was sent with, from PAR (RFC 9126) or the page, until the person has decided.
    """
    CREATE TABLE authorization_requests (
        digest      bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
        kind        text NOT NULL CHECK (kind IN ('pushed', 'consent')),
        app         uuid NOT NULL REFERENCES apps (id),
        session     uuid,
        parameters  text NOT NULL,
        expires_at  timestamptz NOT NULL
    )
    """,
    "CREATE INDEX authorization_requests_expiry ON authorization_requests (expires_at)",
    # The tokens that one consent led to, however often they were renewed.
    """
    CREATE TABLE families (
        id          uuid PRIMARY KEY,
        grant_id    uuid NOT NULL REFERENCES grants (id),
        scopes      text[] NOT NULL,
        jkt         text NOT NULL DEFAULT '',
        auth_time   timestamptz NOT NULL,
        nonce       text NOT NULL DEFAULT '',
        created_at  timestamptz NOT NULL,
        expires_at  timestamptz NOT NULL,
        revoked_at  timestamptz
    )
    """,
    "CREATE INDEX families_grant ON families (grant_id)",
    "CREATE INDEX families_expiry ON families (expires_at)",
    """
    CREATE TABLE codes (
        digest        bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
        family        uuid NOT NULL REFERENCES families (id) ON DELETE CASCADE,
        redirect_uri  text NOT NULL,
        challenge     text NOT NULL,
        dpop_jkt      text NOT NULL DEFAULT '',
        expires_at    timestamptz NOT NULL,
        used_at       timestamptz
    )
    """,
    "CREATE INDEX codes_family ON codes (family)",
    """
    CREATE TABLE access_tokens (
        digest      bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
        family      uuid NOT NULL REFERENCES families (id) ON DELETE CASCADE,
        scopes      text[] NOT NULL,
        jkt         text NOT NULL DEFAULT '',
        issued_at   timestamptz NOT NULL,
        expires_at  timestamptz NOT NULL
    )
    """,
    "CREATE INDEX access_tokens_family ON access_tokens (family)",
    "CREATE INDEX access_tokens_expiry ON access_tokens (expires_at)",
    """
    CREATE TABLE refresh_tokens (
        digest      bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
        family      uuid NOT NULL REFERENCES families (id) ON DELETE CASCADE,
        issued_at   timestamptz NOT NULL,
        expires_at  timestamptz NOT NULL,
        used_at     timestamptz
    )
    """,
    "CREATE INDEX refresh_tokens_family ON refresh_tokens (family)",
    "CREATE INDEX refresh_tokens_expiry ON refresh_tokens (expires_at)",
    # Ids of proofs that count once: client assertions (RFC 7523) and DPoP proofs (RFC 9449).
    """
    CREATE TABLE used_proofs (
        digest      bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
        expires_at  timestamptz NOT NULL
    )
    """,
    "CREATE INDEX used_proofs_expiry ON used_proofs (expires_at)",
    OUTBOX_DDL,
)


def upgrade() -> None:
    for statement in _TABLES:
        op.execute(statement)
