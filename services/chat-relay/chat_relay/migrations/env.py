"""Alembic's entry; the kit does the work."""

from common.kit.migrations import run_env

run_env()
