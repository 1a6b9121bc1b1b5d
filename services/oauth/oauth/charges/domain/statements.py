"""The statement of an app: every line that changed what it has."""

import csv
import io
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal

import msgspec

from common.kit.money import format_usd

EntryKind = Literal["charge", "refund", "payout"]
CSV_COLUMNS = (
    "position",
    "posted_at",
    "kind",
    "object",
    "charge",
    "reference",
    "amount",
    "fee",
    "net",
    "currency",
)


class Entry(msgspec.Struct, frozen=True):
    """One line: amount = fee + net. A refund and a payout are below zero; `object` is its id."""

    position: int
    kind: EntryKind
    object: str
    charge: str | None
    amount_nano: int
    fee_nano: int
    reference: str
    posted_at: datetime


class EntryView(msgspec.Struct, frozen=True):
    """A line as it is shown."""

    position: int
    posted_at: str
    kind: EntryKind
    object: str
    charge: str | None
    reference: str
    amount: str
    fee: str
    net: str
    currency: str = "USD"


def show_entry(entry: Entry) -> EntryView:
    """As it is shown."""
    return EntryView(
        entry.position,
        entry.posted_at.astimezone(UTC).isoformat(timespec="milliseconds"),
        entry.kind,
        entry.object,
        entry.charge,
        entry.reference,
        format_usd(entry.amount_nano),
        format_usd(entry.fee_nano),
        format_usd(entry.amount_nano - entry.fee_nano),
    )


def as_csv(entries: Iterable[Entry]) -> str:
    """RFC 4180 with a header; texts that a spreadsheet would take for a formula begin with an apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(CSV_COLUMNS)
    for entry in entries:
        view = show_entry(entry)
        row = [getattr(view, name) for name in CSV_COLUMNS]
        row[CSV_COLUMNS.index("reference")] = _plain(view.reference)
        writer.writerow(row)
    return text.getvalue()


def _plain(text: str) -> str:
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text
