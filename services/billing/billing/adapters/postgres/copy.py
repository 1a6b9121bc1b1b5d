"""COPY and array statements: the cheapest ways to write many rows, for both ends.

A statement costs both ends about 0.15 ms whatever it writes, and a COPY two of them. But asyncpg looks at
every element of an array parameter twice before it writes it. So many new rows are copied, few travel in one
statement with all that is updated, and an update sends only the columns that differ.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any

import asyncpg

_FEW = 4
"""Rows that are sooner written one by one, all in one round trip, than by COPY, which takes two."""
_MANY = 64
"""Rows of a table from which on COPY is cheaper than arrays in a statement that is made anyway."""


async def copy_rows(
    driver: asyncpg.Connection, table: str, columns: Sequence[str], rows: Sequence[tuple[object, ...]]
) -> None:
    """Append rows, in order, in the driver's transaction; raises asyncpg's own errors."""
    if len(rows) > _FEW:
        await driver.copy_records_to_table(table, records=rows, columns=columns)
    else:
        await driver.executemany(_insert(table, tuple(columns)), rows)


@lru_cache(32)
def _insert(table: str, columns: tuple[str, ...]) -> str:
    values = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})"  # noqa: S608  names of our own


class RowUpdate:
    """An update of one table's rows out of objects: the first of `columns` finds the row, the others are set.

    `columns` maps a column to its type; `attributes` names the object's attribute where it is not the
    column's own name. The column `always`, if there is one, is written whether it differs or not, and so
    the row.
    """

    def __init__(self, table: str, columns: dict[str, str], always: str = "", **attributes: str) -> None:
        self.table = table
        self._columns = tuple(columns.items())
        self._always = always
        self.values = attrgetter(*(attributes.get(column, column) for column in columns))

    def changes(
        self, rows: Sequence[object], before: Mapping[int, tuple[object, ...]]
    ) -> tuple[tuple[int, ...], list[Any]]:
        """The numbers of the columns to write, none when nothing differs, and an array for each.

        `before` has the values of loaded rows; a column that is as before in all of them is left out.
        """
        if not rows:
            return (), []
        arrays = list(zip(*map(self.values, rows), strict=True))
        wanted: Iterable[int] = range(1, len(arrays))
        if all(id(row) in before for row in rows):
            old = list(zip(*[before[id(row)] for row in rows], strict=True))
            wanted = [
                number
                for number in wanted
                if arrays[number] != old[number] or self._columns[number][0] == self._always
            ]
        numbers = tuple(wanted)
        return (0, *numbers) if numbers else (), [arrays[0], *(arrays[number] for number in numbers)]

    def statement(self, numbers: Sequence[int], first: int) -> str:
        """The UPDATE of these columns, whose parameters are arrays and count from `$first`."""
        key, *names = (self._columns[number][0] for number in numbers)
        kinds = [self._columns[number][1] for number in numbers]
        arrays = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(kinds, first))
        changes = ", ".join(f"{name} = u.{name}" for name in names)
        # Names of columns and types of our own code.
        return (
            f"UPDATE {self.table} AS t SET {changes}"  # noqa: S608
            f" FROM unnest({arrays}) AS u ({', '.join((key, *names))}) WHERE t.{key} = u.{key}"
        )


class RowInsert:
    """Rows that one table is given; `columns` maps the columns that are written to their types."""

    def __init__(self, table: str, columns: dict[str, str]) -> None:
        self.table = table
        self.columns = tuple(columns)
        self._kinds = tuple(columns.values())

    def statement(self, first: int) -> str:
        """The INSERT, whose parameters are an array for each column and count from `$first`."""
        arrays = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(self._kinds, first))
        names = ", ".join(self.columns)
        return f"INSERT INTO {self.table} ({names}) SELECT * FROM unnest({arrays})"  # noqa: S608  as above


NewRows = Mapping[RowInsert, Sequence[tuple[object, ...]]]
"""What to append to each table, in order."""


class RowChanges:
    """What a transaction changes, in one statement: a round trip is time in which the whole batch waits."""

    def __init__(self, *updates: RowUpdate) -> None:
        self._updates = updates
        self._statement = lru_cache(256)(self._build_statement)

    def remember(self, *rows: Iterable[object]) -> dict[int, tuple[object, ...]]:
        """What the rows, an iterable per table in the order of the updates, are now."""
        pairs = zip(self._updates, rows, strict=True)
        return {id(row): update.values(row) for update, loaded in pairs for row in loaded}

    async def execute(
        self,
        driver: asyncpg.Connection,
        before: Mapping[int, tuple[object, ...]],
        changed: Sequence[Sequence[object]],
        new: NewRows,
    ) -> None:
        """Write how the changed rows, by table, differ from what was remembered, and the new ones."""
        columns: list[tuple[int, ...]] = []
        arguments: list[Any] = []
        for update, rows in zip(self._updates, changed, strict=True):
            numbers, arrays = update.changes(rows, before)
            columns.append(numbers)
            if numbers:
                arguments += arrays
        few = tuple(insert for insert, rows in new.items() if 0 < len(rows) <= _MANY)
        for insert in few:
            arguments += zip(*new[insert], strict=True)
        if arguments:
            await driver.execute(self._statement(tuple(columns), few), *arguments)
        for insert, rows in new.items():
            if len(rows) > _MANY:
                await copy_rows(driver, insert.table, insert.columns, rows)

    async def append(self, driver: asyncpg.Connection, new: NewRows) -> None:
        """Write new rows alone."""
        await self.execute(driver, {}, ((),) * len(self._updates), new)

    def _build_statement(self, columns: tuple[tuple[int, ...], ...], few: tuple[RowInsert, ...]) -> str:
        named, statement, first = [], "", 1
        for update, numbers in zip(self._updates, columns, strict=True):
            if numbers:
                statement = update.statement(numbers, first)
                named.append(f"{update.table}_ AS ({statement})")
                first += len(numbers)
        for insert in few:
            statement = insert.statement(first)
            named.append(f"new_{insert.table} AS ({statement})")
            first += len(insert.columns)
        return statement if len(named) == 1 else f"WITH {', '.join(named[:-1])} {statement}"
