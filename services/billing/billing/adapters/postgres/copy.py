"""COPY and array updates: the cheapest ways to write many rows, for both ends.

asyncpg looks at every element of an array parameter twice before it writes it; a copied row is written once.
"""

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any

import asyncpg


async def copy_rows(
    driver: asyncpg.Connection, table: str, columns: Sequence[str], rows: Iterable[tuple[object, ...]]
) -> None:
    """Append rows, in order, in the driver's transaction; raises asyncpg's own errors."""
    await driver.copy_records_to_table(table, records=rows, columns=columns)


class RowUpdate:
    """An update of one table's rows out of objects: the first of `columns` finds the row, the others are set.

    `columns` maps a column to its type; `attributes` names the object's attribute where it is not the
    column's own name.
    """

    def __init__(self, table: str, columns: dict[str, str], **attributes: str) -> None:
        self.table = table
        self._columns = columns
        self._values = attrgetter(*(attributes.get(column, column) for column in columns))

    def statement(self, first: int) -> str:
        """The UPDATE, whose parameters are arrays and count from `$first`."""
        key, *names = self._columns
        arrays = ", ".join(
            f"${number}::{kind}[]" for number, kind in enumerate(self._columns.values(), first)
        )
        changes = ", ".join(f"{name} = u.{name}" for name in names)
        # Names of columns and types of our own code.
        return (
            f"UPDATE {self.table} AS t SET {changes}"  # noqa: S608
            f" FROM unnest({arrays}) AS u ({', '.join(self._columns)}) WHERE t.{key} = u.{key}"
        )

    def arguments(self, rows: Sequence[object]) -> list[Any]:
        """One array per column."""
        if not rows:
            return [[] for _ in self._columns]
        return [list(column) for column in zip(*map(self._values, rows), strict=True)]

    @property
    def width(self) -> int:
        """How many parameters it takes."""
        return len(self._columns)


class RowUpdates:
    """Updates of several tables in one statement: a round trip is time in which the whole batch waits."""

    def __init__(self, *updates: RowUpdate) -> None:
        self._updates = updates
        statements = []
        first = 1
        for update in updates:
            statements.append(update.statement(first))
            first += update.width
        named = [f"{update.table}_ AS ({sql})" for update, sql in zip(updates, statements, strict=True)]
        self._statement = f"WITH {', '.join(named[:-1])} {statements[-1]}"

    async def execute(self, driver: asyncpg.Connection, *rows: Sequence[object]) -> None:
        """Write the changed rows, a sequence per table in the order of the updates."""
        if any(rows):
            pairs = zip(self._updates, rows, strict=True)
            arguments = [column for update, changed in pairs for column in update.arguments(changed)]
            await driver.execute(self._statement, *arguments)
