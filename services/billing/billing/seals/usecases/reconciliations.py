"""Compare an upstream's own file with what was billed."""

from collections.abc import Iterator
from typing import Any

from billing.domain.audits import Period
from billing.seals.domain.ports import BilledUsage
from billing.seals.domain.reconciliations import (
    MAX_LINES,
    Comparison,
    Line,
    Tolerance,
    is_buckets,
    lines_of_buckets,
    lines_of_csv,
    lines_of_jsonl,
)
from common.contracts.errors import BodyTooLargeError

_HEAD = 4096


async def reconcile(
    usage: BilledUsage, body: str, channel: str, period: Period, tolerance: Tolerance
) -> dict[str, Any]:
    """The report of Comparison. The file's shape is told by its beginning.

    InvalidRequestError names a line that cannot be read; BodyTooLargeError above MAX_LINES lines.
    """
    head = body[:_HEAD].lstrip("\ufeff \r\n\t")
    by_day = is_buckets(head)
    comparison = Comparison(tolerance, by_day=by_day)
    for number, line in enumerate(_lines(body.lstrip("\ufeff"), head, by_day=by_day), 1):
        if number > MAX_LINES:
            raise BodyTooLargeError(f"More than {MAX_LINES} lines; send the file in parts.")
        comparison.add_line(line)
    async for page in usage.stream(channel, period):
        for billed in page:
            comparison.add_billed(billed)
    return comparison.report(channel)


def _lines(body: str, head: str, *, by_day: bool) -> Iterator[Line]:
    if by_day:
        return lines_of_buckets(body)
    if head.startswith("{"):
        return lines_of_jsonl(body.splitlines())
    return lines_of_csv(body.splitlines())
