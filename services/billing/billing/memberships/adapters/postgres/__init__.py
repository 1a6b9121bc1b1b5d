"""Plans and memberships in PostgreSQL."""
