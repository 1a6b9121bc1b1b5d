"""The database pool: transactions, and a server that is killed."""

import asyncio
from contextlib import suppress

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from common.kit.db import Database, is_transient
from common.testing.postgres import EmbeddedPostgres


async def count(database: Database) -> int:
    async with database.transaction() as connection:
        return int((await connection.execute(text("SELECT count(*) FROM facts"))).scalar_one())


INSERT = text("INSERT INTO facts DEFAULT VALUES")


async def make_table(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(text("CREATE TABLE facts (id uuid DEFAULT gen_random_uuid())"))


async def test_a_block_commits_when_it_ends_and_not_when_it_raises(kit_database: Database) -> None:
    await make_table(kit_database)
    async with kit_database.transaction() as connection:
        await connection.execute(INSERT)
    with suppress(KeyError):
        async with kit_database.transaction() as connection:
            await connection.execute(INSERT)
            raise KeyError
    assert await count(kit_database) == 1


async def test_a_long_delete_goes_in_transactions_of_a_few_rows(kit_database: Database) -> None:
    await make_table(kit_database)
    async with kit_database.transaction() as connection:
        await connection.execute(text("INSERT INTO facts SELECT FROM generate_series(1, 12)"))
        await connection.execute(text("CREATE TABLE ends (transaction xid8 DEFAULT pg_current_xact_id())"))
        await connection.execute(
            text("CREATE RULE told AS ON DELETE TO facts DO INSERT INTO ends DEFAULT VALUES")
        )
    some = text("DELETE FROM facts WHERE id = ANY(ARRAY(SELECT id FROM facts LIMIT :limit))")
    await kit_database.delete(some, {}, limit=5)
    assert await count(kit_database) == 0
    async with kit_database.transaction() as connection:
        ends = await connection.execute(text("SELECT count(DISTINCT transaction) FROM ends"))
        assert ends.scalar_one() == 3


async def test_a_cancelled_block_leaves_nothing_and_gives_its_connection_back(kit_database: Database) -> None:
    await make_table(kit_database)
    entered = asyncio.Event()

    async def hang() -> None:
        async with kit_database.transaction() as connection:
            await connection.execute(INSERT)
            entered.set()
            await connection.execute(text("SELECT pg_sleep(60)"))

    for _ in range(10):  # more than the pool has
        entered.clear()
        task = asyncio.create_task(hang())
        await entered.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert await count(kit_database) == 0


async def test_a_killed_server_is_a_transient_failure_and_the_pool_recovers(
    postgres_server: EmbeddedPostgres,
) -> None:
    postgres_server.ensure_database("kit", "kit")
    database = Database(postgres_server.dsn("kit", "kit"))
    working = asyncio.Event()

    async def work() -> None:
        while True:
            async with database.transaction() as connection:
                await connection.execute(text("SELECT 1"))
                working.set()

    tasks = [asyncio.create_task(work()) for _ in range(6)]
    await working.wait()
    await asyncio.to_thread(postgres_server.kill)
    failures = await asyncio.gather(*tasks, return_exceptions=True)
    assert [failure for failure in failures if not is_transient(failure or AssertionError())] == []
    with pytest.raises(OSError, match=r"refused|reset|Connect"):
        await database.ping()
    await asyncio.to_thread(postgres_server.start)
    for _ in range(20):
        await database.ping()
    await database.close()


async def test_what_is_left_open_on_a_drivers_connection_is_not_lent_to_the_next(
    kit_database: Database,
) -> None:
    await make_table(kit_database)
    for _ in range(10):  # more than the pool has
        with suppress(KeyError):
            async with kit_database.driver() as driver:
                await driver.execute("BEGIN; INSERT INTO facts DEFAULT VALUES")
                raise KeyError
    assert await count(kit_database) == 0
    async with kit_database.driver() as driver:
        assert not driver.is_in_transaction()


async def test_drivers_are_lent_again_and_no_more_of_them_than_the_pool_has(kit_database: Database) -> None:
    working, most = 0, 0

    async def work() -> int:
        nonlocal working, most
        async with kit_database.driver() as driver:
            working += 1
            most = max(most, working)
            await driver.fetchval("SELECT pg_sleep(0.001)")
            working -= 1
            return int(await driver.fetchval("SELECT pg_backend_pid()"))

    pids = await asyncio.gather(*(work() for _ in range(50)))
    assert most == len(set(pids)) == 8
    assert {await work() for _ in range(3)} <= set(pids)


async def test_a_cancelled_statement_gives_its_driver_back(kit_database: Database) -> None:
    async def hang() -> None:
        async with kit_database.driver_transaction() as driver:
            entered.set()
            await driver.execute("SELECT pg_sleep(60)")

    for _ in range(10):  # more than the pool has
        entered = asyncio.Event()
        task = asyncio.create_task(hang())
        await entered.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    async with kit_database.driver() as driver:
        assert await driver.fetchval("SELECT 1") == 1


async def test_drivers_recover_from_a_killed_server(postgres_server: EmbeddedPostgres) -> None:
    postgres_server.ensure_database("kit", "kit")
    database = Database(postgres_server.dsn("kit", "kit"))
    working = asyncio.Event()

    async def work() -> None:
        while True:
            async with database.driver_transaction() as driver:
                await driver.execute("SELECT 1")
                working.set()

    tasks = [asyncio.create_task(work()) for _ in range(6)]
    await working.wait()
    await asyncio.to_thread(postgres_server.kill)
    failures = await asyncio.gather(*tasks, return_exceptions=True)
    failures += await asyncio.gather(*(work() for _ in range(20)), return_exceptions=True)
    assert [failure for failure in failures if not is_transient(failure or AssertionError())] == []
    await asyncio.to_thread(postgres_server.start)
    for _ in range(20):
        async with database.driver() as driver:
            assert await driver.fetchval("SELECT 1") == 1
    await database.close()


async def test_no_transaction_meets_a_server_that_was_killed_before_it(
    postgres_server: EmbeddedPostgres,
) -> None:
    postgres_server.ensure_database("kit", "kit")
    database = Database(postgres_server.dsn("kit", "kit"))

    async def work() -> None:
        async with database.transaction() as connection:
            await connection.execute(text("SELECT pg_sleep(0.01)"))

    await asyncio.gather(*(work() for _ in range(8)))
    await asyncio.to_thread(postgres_server.kill)
    await asyncio.to_thread(postgres_server.start)
    await asyncio.gather(*(work() for _ in range(8)))
    await database.close()


async def test_a_deadlock_is_transient_and_a_broken_rule_is_not(kit_database: Database) -> None:
    with pytest.raises(DBAPIError) as caught:
        async with kit_database.transaction() as connection:
            await connection.execute(text("SELECT 1/0"))
    assert not is_transient(caught.value)
    with pytest.raises(DBAPIError) as caught:
        async with kit_database.transaction() as connection:
            await connection.execute(text("DO $$ BEGIN RAISE SQLSTATE '40P01'; END $$"))
    assert is_transient(caught.value)
    assert is_transient(ConnectionResetError())
    assert not is_transient(KeyError())
