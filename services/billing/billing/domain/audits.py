"""What an audit says, and the comparison with what an upstream says it served."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from common.contracts.errors import InvalidRequestError

PROMPT_UNITS = ("input", "cached_input", "cache_write", "cache_write_1h", "audio_input", "image_input")
COMPLETION_UNITS = ("output", "reasoning", "audio_output", "image_output")


BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
END = datetime(9999, 1, 1, tzinfo=UTC)


class AuditCheck(msgspec.Struct, frozen=True):
    """One statement about the whole ledger: `detail` has the numbers behind `ok`."""

    name: str
    ok: bool
    detail: str


class Period(msgspec.Struct, frozen=True):
    """What was posted from `start` up to and without `end`."""

    start: datetime
    end: datetime


MoreCheck = Callable[[Period | None], Awaitable[AuditCheck]]
"""A check that another part of billing adds to every audit; None is everything."""


class AuditReport(msgspec.Struct, frozen=True):
    """`ok` when every check is."""

    ok: bool
    checks: list[AuditCheck]


class Served(msgspec.Struct, frozen=True):
    """What an upstream says it served for one request; both counts are tokens of every kind."""

    request_id: str
    prompt_tokens: int = 0
    completion_tokens: int = 0


def parse_period(since: str | None, until: str | None) -> Period | None:
    """The period between two ISO 8601 days or times (UTC unless told), None when neither is given.

    InvalidRequestError when one is none or they are in the wrong order.
    """
    if since is None and until is None:
        return None
    period = Period(
        BEGINNING if since is None else _moment(since, "from"), END if until is None else _moment(until, "to")
    )
    if period.start >= period.end:
        raise InvalidRequestError("The period ends before it begins.", param="to")
    return period


def compare_served(served: Sequence[Served], billed: Mapping[str, Mapping[str, int]]) -> AuditCheck:
    """Nobody is billed more than was served: per request id, summed over its attempts."""
    totals: dict[str, tuple[int, int]] = {}
    for row in served:
        prompt, completion = totals.get(row.request_id, (0, 0))
        totals[row.request_id] = (prompt + row.prompt_tokens, completion + row.completion_tokens)
    over = unbilled = 0
    worst = ""
    for request_id, (prompt, completion) in totals.items():
        quantities = billed.get(request_id)
        if quantities is None:
            unbilled += 1
            continue
        billed_prompt = sum(quantities.get(unit, 0) for unit in PROMPT_UNITS)
        billed_completion = sum(quantities.get(unit, 0) for unit in COMPLETION_UNITS)
        if billed_prompt > prompt or billed_completion > completion:
            over += 1
            worst = worst or (
                f"; first {request_id}: billed {billed_prompt}+{billed_completion},"
                f" served {prompt}+{completion}"
            )
    detail = f"{len(totals)} requests served, {over} billed more than served, {unbilled} not billed{worst}"
    return AuditCheck("served", over == 0, detail)


def _moment(text: str, param: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidRequestError(f"{param} is no ISO 8601 day or time.", param=param) from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return min(max(moment, BEGINNING), END)
