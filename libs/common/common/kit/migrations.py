"""Alembic migrations of one service: the scripts in `<package>/migrations`, applied under a lock.

`python -m common.kit.migrations <package>` migrates the database that TOLLWAY_DATABASE_URL names.
"""

import asyncio
import importlib.resources
import os
import sys
from typing import cast

from alembic import command, context
from alembic.config import Config
from sqlalchemy import Connection, pool, text
from sqlalchemy.ext.asyncio import create_async_engine

from common.kit.db import async_url

_LOCK_ID = 0x746F6C6C  # "toll": replicas that start together migrate one after the other


async def upgrade(dsn: str, package: str) -> None:
    """Bring the database at `dsn` to the newest revision of `package`; safe to call from many replicas."""
    engine = create_async_engine(async_url(dsn), poolclass=pool.NullPool)
    try:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT pg_advisory_lock(:id)"), {"id": _LOCK_ID})
            await connection.commit()
            await connection.run_sync(_upgrade, package)
            await connection.execute(text("SELECT pg_advisory_unlock(:id)"), {"id": _LOCK_ID})
            await connection.commit()
    finally:
        await engine.dispose()


def run_env() -> None:
    """The whole body of a service's `migrations/env.py`."""
    connection = cast("Connection", context.config.attributes["connection"])
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()


def _upgrade(connection: Connection, package: str) -> None:
    config = Config()
    with importlib.resources.as_file(importlib.resources.files(package) / "migrations") as scripts:
        config.set_main_option("script_location", str(scripts))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()


def main(package: str) -> int:
    """Migrate and end with 0; 2 when no database is named."""
    dsn = os.environ.get("TOLLWAY_DATABASE_URL", "")
    if not dsn:
        sys.stderr.write(f"{package}: TOLLWAY_DATABASE_URL is not set\n")
        return 2
    asyncio.run(upgrade(dsn, package))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
