"""Real parts for the tests of the kit."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from sqlalchemy import text

from common.contracts.streams import STREAMS
from common.kit.bus import Bus
from common.kit.db import Database
from common.kit.outbox import OUTBOX_DDL
from common.testing.postgres import EmbeddedPostgres

_numbers = itertools.count(1)

Eventually = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]


@pytest.fixture
async def kit_database(session_postgres: EmbeddedPostgres) -> AsyncIterator[Database]:
    """A database with the kit's own tables."""
    name = f"kit_{next(_numbers)}"
    session_postgres.ensure_database(name, "kit")
    database = Database(session_postgres.dsn(name, "kit"))
    async with database.transaction() as connection:
        await connection.execute(text(OUTBOX_DDL))
    yield database
    await database.close()
    session_postgres.drop_database(name)


@pytest.fixture
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    """A connection with every stream of the suite."""
    connection = await Bus.connect(nats_url, "tests")
    await connection.ensure_streams(STREAMS)
    yield connection
    await connection.close()


@pytest.fixture
def eventually() -> Eventually:
    """Wait until a condition holds, at most 20 s: for what no part announces."""

    async def wait(condition: Callable[[], Awaitable[bool]]) -> None:
        deadline = time.monotonic() + 20
        while not await condition():
            assert time.monotonic() < deadline, "it never came true"
            await asyncio.sleep(0.02)  # reason: the interval of a poll, not a wait for anything

    return wait
