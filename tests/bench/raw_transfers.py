"""What a transfer costs without door, lease and event: the ledger's own SQL, in batches, one connection."""

import time

import msgspec

from billing.adapters.postgres.ledger import PLANNER, PostgresLedger
from billing.app import utc_now
from billing.domain.books import Books, Wanted
from common.kit.db import Database
from common.kit.ids import uuid7

BATCH = 500
_AMOUNT_NANO = 1_000


class Move(msgspec.Struct, frozen=True):
    """One transfer between the wallets of two accounts."""

    source: str
    target: str
    size: int = 1

    def want(self, wanted: Wanted) -> None:
        """Both accounts."""
        wanted.customers.update((self.source, self.target))

    def decide(self, books: Books) -> None:
        """Move the money; ValueError when it is not there."""
        source, target = books.customers[self.source], books.customers[self.target]
        books.transfer("correction", source.wallet, target.wallet, _AMOUNT_NANO, source, uuid7())


async def raw_transfers(dsn: str, accounts: list[str], count: int) -> float:
    """Transfers a second around the ring of `accounts`, each of which must have money."""
    database = Database(dsn, 1, PLANNER)
    ledger = PostgresLedger(database)
    ring = [Move(source, accounts[place - 1]) for place, source in enumerate(accounts)]
    started = time.perf_counter()
    for start in range(0, count, BATCH):
        moves = [ring[number % len(ring)] for number in range(start, min(start + BATCH, count))]
        async with ledger.transaction() as session:
            books = await session.load(moves, utc_now())
            for move in moves:
                move.decide(books)
            await session.save(books)
    elapsed = time.perf_counter() - started
    await database.close()
    return count / elapsed
