"""The inbox: what comes at least once is applied once, its id claimed by the transaction that applies it."""

from collections.abc import Iterable

import asyncpg

USAGE_INBOX = "billing-usage"
_CLAIM = """
    INSERT INTO inbox (consumer, id) SELECT $1, unnest($2::uuid[]) ON CONFLICT DO NOTHING RETURNING id::text
"""


async def claim(driver: asyncpg.Connection, consumer: str, ids: Iterable[str]) -> set[str]:
    """The ids this consumer sees for the first time; claimed in the driver's transaction."""
    return {row[0] for row in await driver.fetch(_CLAIM, consumer, list(ids))}
