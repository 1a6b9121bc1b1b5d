"""Alembic migrations of the OAuth service's own database."""
