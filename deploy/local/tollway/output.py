"""Answers for people and for scripts: tables and lines, or JSON and nothing else on standard output."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

PIPE_WIDTH = 10_000

Record = Mapping[str, Any]


class Output:
    """Writes the answer of one command, in one of the two forms."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        # A pipe has no width to wrap to: there every record stays on its line.
        width = None if sys.stdout.isatty() else PIPE_WIDTH
        self._console = Console(highlight=False, width=width)

    def records(self, records: Sequence[Record], columns: Sequence[str]) -> None:
        """A list; people see `columns` of it, scripts all."""
        if self.as_json:
            self._json(records)
            return
        table = Table(box=None, header_style="dim", pad_edge=False)
        for column in columns:
            table.add_column(column.replace("_", " "), overflow="fold")
        for record in records:
            table.add_row(*(_cell(record.get(column)) for column in columns))
        self._console.print(table)

    def record(self, record: Record) -> None:
        """One object; people see every field of it."""
        if self.as_json:
            self._json(record)
            return
        table = Table.grid(padding=(0, 2))
        for name, value in record.items():
            table.add_row(name.replace("_", " "), _cell(value))
        self._console.print(table)

    def line(self, text: str, record: Record) -> None:
        """What was done: `text` for people, `record` for scripts."""
        if self.as_json:
            self._json(record)
        else:
            self._console.print(text, markup=False, soft_wrap=True)

    def _json(self, value: object) -> None:
        sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_cell, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={_cell(item)}" for name, item in value.items())
    return str(value)
