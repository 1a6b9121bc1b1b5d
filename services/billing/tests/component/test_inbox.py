"""The inbox: an id is claimed once, by the transaction that commits."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from billing.adapters.postgres.inbox import claim
from common.kit.db import Database
from common.kit.ids import uuid7
from common.testing.plugin import DatabaseFactory


@pytest.fixture
async def ledger(database: DatabaseFactory) -> AsyncIterator[Database]:
    """Billing's database."""
    opened = Database(await database("billing"), 2)
    yield opened
    await opened.close()


async def test_an_id_is_claimed_once(ledger: Database) -> None:
    one, two = uuid7(), uuid7()
    async with ledger.driver_transaction() as connection:
        assert await claim(connection, "ledger", [one, one]) == {one}
    async with ledger.driver_transaction() as connection:
        assert await claim(connection, "ledger", [one, two]) == {two}
        assert await claim(connection, "mailer", [one]) == {one}
        assert await claim(connection, "mailer", []) == set()


async def test_a_claim_that_is_rolled_back_can_be_made_again(ledger: Database) -> None:
    one = uuid7()
    with suppress(KeyError):
        async with ledger.driver_transaction() as connection:
            assert await claim(connection, "ledger", [one]) == {one}
            raise KeyError
    async with ledger.driver_transaction() as connection:
        assert await claim(connection, "ledger", [one]) == {one}


async def test_of_two_transactions_that_claim_an_id_one_gets_it(ledger: Database) -> None:
    one = uuid7()
    both = asyncio.Barrier(2)

    async def apply() -> set[str]:
        async with ledger.driver_transaction() as connection:
            await both.wait()
            return await claim(connection, "ledger", [one])

    assert sorted(map(len, await asyncio.gather(apply(), apply()))) == [0, 1]
