"""The usage log as a file: CSV (RFC 4180), one JSON array, or JSON lines; page by page."""

import csv
import io
from collections.abc import Iterable
from typing import Any, Literal, Protocol, get_args

import msgspec

from billing.domain.statements import ChargedUsage
from common.contracts.errors import InvalidRequestError
from common.contracts.prices import Unit
from common.kit.money import format_decimal, format_rate, format_usd

ExportFormat = Literal["csv", "json", "jsonl"]
UNITS: tuple[str, ...] = get_args(Unit)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_ENCODER = msgspec.json.Encoder()


class ExportWriter(Protocol):
    """Makes the bytes of a file from pages of rows."""

    def head(self) -> bytes:
        """What comes before the first row."""
        ...

    def rows(self, page: Iterable[dict[str, Any]]) -> bytes:
        """The rows of a page, in order."""
        ...

    def tail(self) -> bytes:
        """What comes after the last row."""
        ...


def parse_format(text: str) -> ExportFormat:
    """The parameter `format`; InvalidRequestError when it is unknown."""
    for name in get_args(ExportFormat):
        if name == text:
            return name  # type: ignore[no-any-return]  # # get_args loses the literals
    raise InvalidRequestError(f"format is one of {', '.join(get_args(ExportFormat))}.", param="format")


def export_row(charge: ChargedUsage, *, admin: bool) -> dict[str, Any]:
    """One charge, flat but for its quantities and prices; amounts are plain decimals of USD."""
    row: dict[str, Any] = {
        "started_at": charge.started_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "id": charge.id,
        "request_id": charge.request_id,
        "account": charge.account,
        "user": charge.user,
        "spender": charge.spender,
        "app": charge.app,
        "operation": charge.operation,
        "model": charge.model,
        "upstream_model": charge.upstream_model,
        "channel": charge.channel,
        "group": charge.group,
        "status": charge.status,
        "outcome": charge.outcome,
        "streamed": charge.streamed,
        "estimated": charge.estimated,
        "partial": charge.partial,
        "duration_ms": charge.duration_ms,
        "first_byte_ms": charge.first_byte_ms,
        "quantities": charge.quantities,
        "unit_prices": {unit: format_decimal(price, 12) for unit, price in charge.unit_pico.items()},
        "price_version": charge.price_version,
        "rate": format_rate(charge.rate_micro),
        "cost": format_usd(charge.cost_nano),
        "charged": format_usd(charge.from_held_nano + charge.overage_nano),
        "free": format_usd(charge.free_nano),
        "refunded": format_usd(charge.refunded_nano),
        "uncollected": format_usd(charge.uncollected_nano),
        "balance": format_usd(charge.balance_after),
        "held": format_usd(charge.held_after),
        "currency": "USD",
    }
    if admin:
        upstream = charge.upstream_cost_nano
        row["upstream_cost"] = None if upstream is None else format_usd(upstream)
    return row


class CsvWriter:
    """Comma-separated, lines end with CR LF, a header; the quantity of each known unit has its column.

    A text that a spreadsheet would take for a formula gets an apostrophe before it.
    """

    def __init__(self, columns: Iterable[str]) -> None:
        self._columns = [
            column
            for name in columns
            for column in (
                [*(f"quantity_{unit}" for unit in UNITS), name] if name == "quantities" else [name]
            )
        ]

    def head(self) -> bytes:
        """The header."""
        return _csv([self._columns])

    def rows(self, page: Iterable[dict[str, Any]]) -> bytes:
        """A line each."""
        return _csv([self._line(row) for row in page])

    def tail(self) -> bytes:
        """Nothing."""
        return b""

    def _line(self, row: dict[str, Any]) -> list[str]:
        quantities = {f"quantity_{unit}": count for unit, count in row["quantities"].items()}
        return [_cell(row.get(column, quantities.get(column))) for column in self._columns]


class JsonWriter:
    """One array."""

    def __init__(self) -> None:
        self._begun = False

    def head(self) -> bytes:
        """The bracket."""
        return b"["

    def rows(self, page: Iterable[dict[str, Any]]) -> bytes:
        """An object each, with a comma before all but the first."""
        parts = []
        for row in page:
            parts.append((b",\n" if self._begun else b"\n") + _ENCODER.encode(row))
            self._begun = True
        return b"".join(parts)

    def tail(self) -> bytes:
        """The bracket, without which the file is cut."""
        return b"\n]\n"


class JsonLinesWriter:
    """An object a line."""

    def head(self) -> bytes:
        """Nothing."""
        return b""

    def rows(self, page: Iterable[dict[str, Any]]) -> bytes:
        """A line each."""
        return b"".join(_ENCODER.encode(row) + b"\n" for row in page)

    def tail(self) -> bytes:
        """Nothing."""
        return b""


def writer_for(format_: ExportFormat, columns: Iterable[str]) -> ExportWriter:
    """The writer of a format; only CSV has need of the columns."""
    if format_ == "csv":
        return CsvWriter(columns)
    return JsonWriter() if format_ == "json" else JsonLinesWriter()


def columns_of(*, admin: bool) -> list[str]:
    """The names of an export's columns, in order."""
    return [*_COLUMNS, "upstream_cost"] if admin else list(_COLUMNS)


_COLUMNS = (
    "started_at", "id", "request_id", "account", "user", "spender", "app", "operation", "model",
    "upstream_model", "channel", "group", "status", "outcome", "streamed", "estimated", "partial",
    "duration_ms", "first_byte_ms", "quantities", "unit_prices", "price_version", "rate", "cost", "charged",
    "free", "uncollected", "balance", "held", "currency",
)  # fmt: skip


def _csv(lines: Iterable[list[str]]) -> bytes:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\r\n").writerows(lines)
    return buffer.getvalue().encode()


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return _ENCODER.encode(value).decode()
    text = str(value)
    if isinstance(value, str) and text.startswith(_FORMULA):
        return f"'{text}"
    return text
