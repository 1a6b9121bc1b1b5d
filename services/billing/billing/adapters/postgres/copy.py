"""COPY: the cheapest way to append many rows, for both ends.

asyncpg looks at every element of an array parameter twice before it writes it; a copied row is written once.
"""

from collections.abc import Iterable, Sequence

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection

from common.kit.db import is_transient


async def copy_rows(
    connection: AsyncConnection, table: str, columns: Sequence[str], rows: Iterable[tuple[object, ...]]
) -> None:
    """Append rows, in order, in the transaction that `connection` is already in.

    Raises asyncpg's own errors, which `is_transient_copy` understands.
    """
    raw = await connection.get_raw_connection()
    driver: asyncpg.Connection = raw.driver_connection
    await driver.copy_records_to_table(table, records=rows, columns=columns)


def is_transient_copy(error: BaseException) -> bool:
    """As common.kit.db.is_transient, for errors that did not come through SQLAlchemy."""
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "")[:2] in {"08", "40", "53", "57"}
    return isinstance(error, (asyncpg.InterfaceError, asyncpg.InternalClientError)) or is_transient(error)
