"""What an audit says, and the comparison with what an upstream says it served."""

from collections.abc import Mapping, Sequence

import msgspec

_PROMPT_UNITS = ("input", "cached_input", "cache_write", "cache_write_1h", "audio_input", "image_input")
_COMPLETION_UNITS = ("output", "reasoning", "audio_output", "image_output")


class AuditCheck(msgspec.Struct, frozen=True):
    """One statement about the whole ledger: `detail` has the numbers behind `ok`."""

    name: str
    ok: bool
    detail: str


class AuditReport(msgspec.Struct, frozen=True):
    """`ok` when every check is."""

    ok: bool
    checks: list[AuditCheck]


class Served(msgspec.Struct, frozen=True):
    """What an upstream says it served for one request; both counts are tokens of every kind."""

    request_id: str
    prompt_tokens: int = 0
    completion_tokens: int = 0


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
        billed_prompt = sum(quantities.get(unit, 0) for unit in _PROMPT_UNITS)
        billed_completion = sum(quantities.get(unit, 0) for unit in _COMPLETION_UNITS)
        if billed_prompt > prompt or billed_completion > completion:
            over += 1
            worst = worst or (
                f"; first {request_id}: billed {billed_prompt}+{billed_completion},"
                f" served {prompt}+{completion}"
            )
    detail = f"{len(totals)} requests served, {over} billed more than served, {unbilled} not billed{worst}"
    return AuditCheck("served", over == 0, detail)
