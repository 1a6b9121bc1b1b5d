"""The price book: tiers, prices to come, multipliers; and on usage the terms of the price."""

from alembic import op

revision = "0003"
down_revision = "0002"

STATEMENTS: tuple[str, ...] = (
    "ALTER TABLE prices ADD COLUMN tiers jsonb NOT NULL DEFAULT '[]'",
    "ALTER TABLE prices ALTER COLUMN effective_from DROP DEFAULT",
    # What people say comes before the seed, whatever the day: false sorts before true.
    """
    CREATE INDEX prices_in_force
        ON prices (model, (source LIKE 'genai-prices %'), effective_from DESC, version DESC)
    """,
    "CREATE INDEX prices_effective ON prices (effective_from)",
    """
    CREATE TABLE multipliers (
        name       text NOT NULL,
        version    integer NOT NULL,
        body       jsonb,
        changed_at timestamptz NOT NULL,
        PRIMARY KEY (name, version)
    )
    """,
    "CREATE INDEX multipliers_version ON multipliers (version)",
    """
    CREATE TRIGGER multipliers_immutable BEFORE UPDATE OR DELETE ON multipliers
    FOR EACH ROW EXECUTE FUNCTION refuse_change()
    """,
    "ALTER TABLE usage_records ADD COLUMN terms jsonb",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
