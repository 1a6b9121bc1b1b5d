"""Faults scripted by model name: `sim-` and one or more forms of `FAULTS`, joined by `+`, in any order.

`sim-tokens-200+slow-chunks-10ms` answers 200 tokens, one every 10 ms. `<n>` is a whole number, `<time>` one
with `ms` or `s`, `<status>` an HTTP status from 400 to 599, `<label>` letters, digits, `_`, `.` and `-`.
Every other model name is served without fault; an unknown form is the vendor's "model not found", so that a
misspelt fault never passes for a healthy answer. `README.md` shows this table; a test keeps the two equal.
"""

import re
from typing import Any, NamedTuple

import msgspec

PREFIX = "sim-"


class Faults(msgspec.Struct, frozen=True):
    """What a model name asks for; the defaults are a healthy vendor. Counts are content chunks or tokens."""

    tokens: int | None = None
    chunks: int | None = None
    cached: int = 0
    reasoning: int = 0
    unicode: bool = False
    label: str = ""
    first_byte_s: float = 0
    first_chunk_s: float = 0
    chunk_s: float = 0
    split_utf8: bool = False
    crlf: bool = False
    comments: bool = False
    no_space: bool = False
    no_usage: bool = False
    no_done: bool = False
    usage_last_chunk: bool = False
    status: int | None = None
    cut_before_headers: bool = False
    cut_body: bool = False
    cut_after: int | None = None
    error_frame_after: int | None = None
    hang: bool = False
    hang_after: int | None = None
    garbage: bool = False
    first: int | None = None

    @property
    def interrupted_after(self) -> int | None:
        """Content chunks after which the stream does not go on as it should, None when it does."""
        points = [n for n in (self.cut_after, self.error_frame_after, self.hang_after) if n is not None]
        return min(points, default=None)

    def healed(self) -> "Faults":
        """The same shape of answer without failures: what follows the requests that `first-<n>` lets fail."""
        return msgspec.structs.replace(self, **{name: FIELD_DEFAULTS[name] for name in FAILURE_FIELDS})


class Fault(NamedTuple):
    """One row of the table: how it is written, the field it sets, whether `first-<n>` ends it, its effect."""

    form: str
    field: str
    failure: bool
    meaning: str


FAULTS = (
    Fault("tokens-<n>", "tokens", False, "the answer is n tokens, and n content chunks when streamed"),
    Fault("chunks-<n>", "chunks", False, "the stream has n content chunks; alone, the answer is n tokens"),
    Fault("cached-<n>", "cached", False, "n of the prompt tokens (at most all) are reported as cached"),
    Fault("reasoning-<n>", "reasoning", False, "n reasoning tokens are added to the completion tokens"),
    Fault("unicode", "unicode", False, "the answer ends in Chinese, an emoji and an accent"),
    Fault("label-<label>", "label", False, "nothing; makes the name unique, for `first-<n>`"),
    Fault("slow-first-byte-<time>", "first_byte_s", False, "waits before status and headers"),
    Fault("slow-first-chunk-<time>", "first_chunk_s", False, "headers at once, then waits before content"),
    Fault("slow-chunks-<time>", "chunk_s", False, "waits before every content chunk after the first"),
    Fault("split-utf8", "split_utf8", False, "bytes arrive cut inside characters, lines and frames"),
    Fault("crlf", "crlf", False, "event lines end in CRLF"),
    Fault("comments", "comments", False, "a `: ping` comment before every event"),
    Fault("no-space", "no_space", False, "`data:{…}` without the space"),
    Fault("no-usage", "no_usage", False, "usage is never sent, in JSON or stream, asked for or not"),
    Fault("no-done", "no_done", False, "the stream ends without `[DONE]`"),
    Fault("usage-last-chunk", "usage_last_chunk", False, "usage rides on the finish chunk, asked for or not"),
    Fault("<status>", "status", True, "that error in the vendor's shape; 429 has `retry-after: 1`"),
    Fault("cut-before-headers", "cut_before_headers", True, "reads the request, closes the connection"),
    Fault("cut-body", "cut_body", True, "half of a JSON body, then the connection closed"),
    Fault("cut-after-<n>", "cut_after", True, "cut after n content chunks (0: after headers)"),
    Fault("error-frame-after-<n>", "error_frame_after", True, "in-band error after n content chunks"),
    Fault("hang", "hang", True, "never answers"),
    Fault("hang-after-<n>", "hang_after", True, "silence after n content chunks, connection open"),
    Fault("garbage", "garbage", True, "status 200, HTML for a body"),
    Fault("first-<n>", "first", False, "only the first n requests for this exact name fail"),
)  # fmt: skip

FAILURE_FIELDS = tuple(fault.field for fault in FAULTS if fault.failure)
FIELD_DEFAULTS = {field.name: field.default for field in msgspec.structs.fields(Faults)}

_PARAMETERS = {
    "<n>": r"(?P<n>\d{1,9})",
    "<time>": r"(?P<time>\d{1,6})(?P<unit>ms|s)",
    "<status>": r"(?P<status>[45]\d\d)",
    "<label>": r"(?P<label>[A-Za-z0-9_.-]+)",
}


class UnknownFaultError(ValueError):
    """A name that starts with `sim-` and has a part that is no fault."""


def _compiled(form: str) -> re.Pattern[str]:
    pattern = form
    for parameter, expression in _PARAMETERS.items():
        pattern = pattern.replace(parameter, expression)
    return re.compile(pattern)


_TABLE = tuple((_compiled(fault.form), fault) for fault in FAULTS)


def _value(match: re.Match[str]) -> Any:
    given = match.groupdict()
    if "time" in given:
        return int(given["time"]) / (1000 if given["unit"] == "ms" else 1)
    if "label" in given:
        return given["label"]
    number = given.get("n", given.get("status"))
    return True if number is None else int(number)


def parse_faults(model: str) -> Faults:
    """The faults that `model` names, none for any name without the prefix; raises `UnknownFaultError`."""
    if not model.startswith(PREFIX):
        return Faults()
    fields: dict[str, Any] = {}
    for part in model.removeprefix(PREFIX).split("+"):
        for pattern, fault in _TABLE:
            if match := pattern.fullmatch(part):
                fields[fault.field] = _value(match)
                break
        else:
            raise UnknownFaultError(f"{part!r} in model {model!r} is not a fault the simulator knows")
    return Faults(**fields)
