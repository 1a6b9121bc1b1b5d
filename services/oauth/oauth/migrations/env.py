"""Alembic's entry."""

from common.kit.migrations import run_env

run_env()
