"""What an upstream says it served and charges for, beside what was billed here.

Two shapes of file: one line per request, compared by request id, and OpenAI's usage and cost buckets, which
know no requests and are compared by day and model (by day alone where they are not grouped by model).
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from common.contracts.errors import InvalidRequestError
from common.kit.money import MAX_NANO, NANO_PER_USD, format_usd

MAX_LINES = 500_000
WORST = 20
"""Differences that are told one by one; the others are counted."""
_MAX_INT = 2**53
_ID_NAMES = ("request_id", "upstream_id", "id")
_PROMPT_NAMES = ("prompt_tokens", "input_tokens")
_COMPLETION_NAMES = ("completion_tokens", "output_tokens")
_COST_NAMES = ("cost", "cost_usd")
_PLAIN = re.compile(r"[0-9]{1,16}")


class Line(msgspec.Struct, frozen=True):
    """What the upstream says of `key`, a request id or `YYYY-MM-DD model`; None is what it does not say."""

    key: str
    model: str
    requests: int = 1
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost_nano: int | None = None


class Billed(msgspec.Struct, frozen=True):
    """What was billed for one request; `upstream_nano` is what it was expected to cost at the upstream."""

    request_id: str
    model: str
    day: str
    prompt_tokens: int
    completion_tokens: int
    charged_nano: int
    upstream_nano: int | None


class Tolerance(msgspec.Struct, frozen=True):
    """What is no difference: so many tokens, or so many millionths of the larger side, whichever is more."""

    tokens: int = 0
    share_micro: int = 0

    def allows(self, here: int, there: int) -> bool:
        """Whether the two are the same for this purpose."""
        return abs(here - there) <= max(self.tokens, max(here, there) * self.share_micro // 1_000_000)

    def allows_cost(self, here_nano: int, there_nano: int) -> bool:
        """The share applies to money; the tokens do not."""
        return abs(here_nano - there_nano) <= max(here_nano, there_nano) * self.share_micro // 1_000_000


class Sum(msgspec.Struct):
    """One side's total; costs as decimal strings of USD when shown."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_nano: int = 0

    def shown(self) -> dict[str, Any]:
        """As the API answers it."""
        return {
            "requests": self.requests,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "cost": format_usd(self.cost_nano),
        }


class Difference(msgspec.Struct, frozen=True):
    """One key on which the two do not agree; `kind` is missing_here, missing_there or differs."""

    key: str
    model: str
    kind: str
    here: Sum | None
    there: Sum | None
    fields: tuple[str, ...] = ()

    @property
    def weight(self) -> tuple[int, int]:
        """How bad it is: by money, then by tokens."""
        here, there = self.here or Sum(), self.there or Sum()
        tokens = abs(here.prompt_tokens - there.prompt_tokens) + abs(
            here.completion_tokens - there.completion_tokens
        )
        return abs(here.cost_nano - there.cost_nano), tokens

    def shown(self) -> dict[str, Any]:
        """As the API answers it."""
        return {
            "key": self.key,
            "model": self.model,
            "kind": self.kind,
            "fields": list(self.fields),
            "here": None if self.here is None else self.here.shown(),
            "there": None if self.there is None else self.there.shown(),
        }


class _Side(msgspec.Struct):
    sum: Sum
    model: str
    says_prompt: bool = True
    says_completion: bool = True
    says_cost: bool = True


class Comparison:
    """Adds up both sides by key: first the file (`add_line`), then what was billed, then `report`."""

    def __init__(self, tolerance: Tolerance, *, by_day: bool = False) -> None:
        self._tolerance = tolerance
        self._by_day = by_day
        self._there: dict[str, _Side] = {}
        self._here: dict[str, _Side] = {}
        self._knows_models = True

    def add_line(self, line: Line) -> None:
        """One line of the file; several with the same key are added."""
        side = self._there.setdefault(line.key, _Side(Sum(), line.model))
        total = side.sum
        total.requests += line.requests
        total.prompt_tokens += line.prompt_tokens or 0
        total.completion_tokens += line.completion_tokens or 0
        total.cost_nano += line.cost_nano or 0
        side.says_prompt &= line.prompt_tokens is not None
        side.says_completion &= line.completion_tokens is not None
        side.says_cost &= line.cost_nano is not None
        self._knows_models &= bool(line.model)

    def add_billed(self, billed: Billed) -> None:
        """One request that was billed here."""
        key = billed.request_id
        if self._by_day:
            key = f"{billed.day} {billed.model}" if self._knows_models else f"{billed.day} "
        side = self._here.setdefault(key, _Side(Sum(), billed.model))
        total = side.sum
        total.requests += 1
        total.prompt_tokens += billed.prompt_tokens
        total.completion_tokens += billed.completion_tokens
        total.cost_nano += billed.upstream_nano or 0
        side.says_cost &= billed.upstream_nano is not None

    def report(self, channel: str) -> dict[str, Any]:
        """Counts, totals of both sides and the WORST differences, worst first."""
        differences = list(self._differences())
        differences.sort(key=lambda difference: difference.weight, reverse=True)
        kinds = [difference.kind for difference in differences]
        return {
            "ok": not differences,
            "channel": channel,
            "by": "day and model" if self._by_day else "request",
            "matched": len(self._here.keys() & self._there.keys()) - kinds.count("differs"),
            "missing_here": kinds.count("missing_here"),
            "missing_there": kinds.count("missing_there"),
            "differing": kinds.count("differs"),
            "here": _total(self._here.values()).shown(),
            "there": _total(self._there.values()).shown(),
            "worst": [difference.shown() for difference in differences[:WORST]],
        }

    def _differences(self) -> Iterator[Difference]:
        for key, there in self._there.items():
            here = self._here.get(key)
            if here is None:
                yield Difference(key, there.model, "missing_here", None, there.sum)
                continue
            fields = tuple(self._differing(here, there))
            if fields:
                yield Difference(key, here.model, "differs", here.sum, there.sum, fields)
        for key, here in self._here.items():
            if key not in self._there:
                yield Difference(key, here.model, "missing_there", here.sum, None)

    def _differing(self, here: _Side, there: _Side) -> Iterator[str]:
        allows = self._tolerance.allows
        if self._by_day and here.sum.requests != there.sum.requests and there.sum.requests:
            yield "requests"
        if there.says_prompt and not allows(here.sum.prompt_tokens, there.sum.prompt_tokens):
            yield "prompt_tokens"
        if there.says_completion and not allows(here.sum.completion_tokens, there.sum.completion_tokens):
            yield "completion_tokens"
        both_say_cost = there.says_cost and here.says_cost
        if both_say_cost and not self._tolerance.allows_cost(here.sum.cost_nano, there.sum.cost_nano):
            yield "cost"


def lines_of_csv(rows: Iterable[str]) -> Iterator[Line]:
    """CSV with a header; InvalidRequestError names the line that is wrong."""
    reader = csv.DictReader(rows)
    for number, row in enumerate(reader, 2):
        yield _line({name.strip(): value for name, value in row.items() if name and value}, number)


def lines_of_jsonl(rows: Iterable[str]) -> Iterator[Line]:
    """One JSON object per line; InvalidRequestError names the line that is wrong."""
    for number, row in enumerate(rows, 1):
        if not row.strip():
            continue
        try:
            value = msgspec.json.decode(row)
        except msgspec.DecodeError as error:
            raise InvalidRequestError(f"Line {number}: {error}") from None
        if not isinstance(value, dict):
            raise InvalidRequestError(f"Line {number} is no object.")
        yield _line(value, number)


def lines_of_buckets(body: str) -> Iterator[Line]:
    """OpenAI's usage or costs pages: `data[].results[]` in buckets of a day or less, one page or several.

    Token counts include cached ones. A costs page has no models unless it was grouped by them.
    """
    decoder = msgspec.json.Decoder()
    try:
        pages = [decoder.decode(body)]
    except msgspec.DecodeError:
        pages = [_decoded(row, number) for number, row in enumerate(io.StringIO(body), 1) if row.strip()]
    for page in pages:
        for bucket in _items(page, "data"):
            day = _day(bucket)
            for result in _items(bucket, "results", "result"):
                yield _bucket_line(day, result)


def is_buckets(head: str) -> bool:
    """Whether a file that begins so is a page of buckets."""
    compact = head.lstrip().replace(" ", "").replace("\n", "")
    return (compact.startswith("{") and '"object":"page"' in compact) or '"object":"bucket"' in compact


def _bucket_line(day: str, result: Mapping[str, Any]) -> Line:
    model = str(result.get("model") or "")
    amount = result.get("amount")
    if isinstance(amount, dict):
        currency = str(amount.get("currency") or "usd").lower()
        if currency != "usd":
            raise InvalidRequestError(f"The costs are in {currency}, not in USD.")
        return Line(f"{day} {model}", model, 0, cost_nano=_nano(amount.get("value"), day))
    return Line(
        f"{day} {model}",
        model,
        _count(result.get("num_model_requests"), day) or 0,
        _count(result.get("input_tokens"), day),
        _count(result.get("output_tokens"), day),
    )


def _line(row: Mapping[str, Any], number: int) -> Line:
    where = f"Line {number}"
    id_ = _first(row, _ID_NAMES)
    if not id_:
        raise InvalidRequestError(f"{where} has no request_id.")
    cost = _first(row, _COST_NAMES)
    return Line(
        str(id_),
        str(row.get("model") or ""),
        1,
        _count(_first(row, _PROMPT_NAMES), where),
        _count(_first(row, _COMPLETION_NAMES), where),
        None if cost is None else _nano(cost, where),
    )


def _first(row: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)


def _count(value: Any, where: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, str) and _PLAIN.fullmatch(value.strip()):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MAX_INT:
        raise InvalidRequestError(f"{where}: a number of tokens is a whole number, not {str(value)[:40]!r}.")
    return value


def _nano(value: Any, where: str) -> int:
    """USD as nano-USD; finer parts are cut off, as upstreams send sums with a dozen digits."""
    try:
        amount = Decimal(str(value)) * NANO_PER_USD
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or not 0 <= amount <= MAX_NANO:
        raise InvalidRequestError(f"{where}: a cost is USD, not {str(value)[:40]!r}.")
    return int(amount)


def _day(bucket: Mapping[str, Any]) -> str:
    start = bucket.get("start_time")
    if not isinstance(start, int) or not 0 <= start < 253_402_300_800:
        raise InvalidRequestError("A bucket has no start_time in seconds since 1970.")
    return datetime.fromtimestamp(start, UTC).date().isoformat()


def _items(value: Any, *names: str) -> list[dict[str, Any]]:
    for name in names:
        found = value.get(name) if isinstance(value, dict) else None
        if isinstance(found, list) and all(isinstance(item, dict) for item in found):
            return found
    raise InvalidRequestError(f"The file has no list `{names[0]}` where a page of buckets has it.")


def _decoded(row: str, number: int) -> Any:
    try:
        return msgspec.json.decode(row)
    except msgspec.DecodeError as error:
        raise InvalidRequestError(f"Line {number}: {error}") from None


def _total(sides: Iterable[_Side]) -> Sum:
    total = Sum()
    for side in sides:
        total.requests += side.sum.requests
        total.prompt_tokens += side.sum.prompt_tokens
        total.completion_tokens += side.sum.completion_tokens
        total.cost_nano += side.sum.cost_nano
    return total
