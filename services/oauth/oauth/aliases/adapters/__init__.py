"""The outside of the aliases: PostgreSQL."""
