"""The outside of notices: PostgreSQL, receivers of webhooks, encryption."""
