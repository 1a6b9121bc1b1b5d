"""The outside of the device flow: PostgreSQL."""
