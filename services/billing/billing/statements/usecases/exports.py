"""The usage log as a file of any length in the memory of one page."""

from collections.abc import AsyncIterator

from billing.domain.ports import UsageReader
from billing.domain.statements import Position, UsageFilter
from billing.statements.domain.exports import ExportWriter, export_row

PAGE = 1_000


async def export_usage(
    reader: UsageReader, wanted: UsageFilter | None, start: Position, writer: ExportWriter, *, admin: bool
) -> AsyncIterator[bytes]:
    """The file, a page at a time, newest first; None wants nothing.

    Each page is a query of its own from where the last one ended: no transaction stays open while a slow
    client reads, and what is charged meanwhile is newer than `start` or appears in its place.
    """
    yield writer.head()
    place: Position | None = start
    while wanted is not None and place is not None:
        page = await reader.newest(wanted, place, PAGE)
        if page:
            yield writer.rows(export_row(charge, admin=admin) for charge in page)
        place = page[-1].position if len(page) == PAGE else None
    if tail := writer.tail():
        yield tail
