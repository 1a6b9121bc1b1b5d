"""Rows of asyncpg, read as SQLAlchemy's rows are."""

from typing import Any


class Fields:
    """A row by attribute; in a join each table's columns begin with a `prefix`."""

    def __init__(self, record: Any, prefix: str = "") -> None:
        self._record = record
        self._prefix = prefix

    def __getattr__(self, name: str) -> Any:
        return self._record[self._prefix + name]
