"""How far the one order of positions is final.

A position is taken before its transaction commits, so a lower one may become visible later. Who takes one has
a transaction id before: the ledger has locked rows by then.
"""

import asyncio

from sqlalchemy import text

from common.kit.db import Database

# The order of the first two matters: whoever has taken a position up to the first has an id below the second.
_LAST = text("SELECT last_value FROM transfers_position_seq")
_BARRIER = text("SELECT pg_current_xact_id()::text::bigint")
_PASSED = text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint >= :barrier")
_PATIENCE_S = 1.0
_INTERVAL_S = 0.01


async def settled_position(database: Database, beyond: int) -> int:
    """A position up to which nothing can appear any more; `beyond` when there is none further now.

    Waits a second at most for the transactions that write at this moment.
    """
    async with database.transaction() as connection:
        last = int(await connection.scalar(_LAST))
        if last <= beyond:
            return beyond
        barrier = await connection.scalar(_BARRIER)
    deadline_s = asyncio.get_running_loop().time() + _PATIENCE_S
    while True:
        async with database.transaction() as connection:
            if await connection.scalar(_PASSED, {"barrier": barrier}):
                return last
        if asyncio.get_running_loop().time() > deadline_s:
            return beyond
        await asyncio.sleep(_INTERVAL_S)
