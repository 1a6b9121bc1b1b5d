"""Invoices as PDF by ReportLab, on A4.

No font is shipped: Latin text is set in Helvetica, all else in STSong-Light, the standard font of Adobe's
Chinese collection that every common viewer has or replaces. With a TrueType file of the operator's all text
is set in that, embedded, so that the file looks the same everywhere.
"""

import io
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib.colors import HexColor
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from billing.statements.domain.invoices import Invoice, Line, Party

_CHINESE = "STSong-Light"
_OWN = "invoice-font"
_INK, _GREY, _RULE, _BAND = (HexColor(value) for value in ("#1b2430", "#6b7684", "#d9dee5", "#f3f5f8"))
_WIDTH = A4[0] - 40 * mm
_UNPRINTABLE = re.compile("[\\x00-\\x1f\\x7f\ud800-\udfff\U00010000-\U0010ffff]")
_CENTS = 2
_FRAME = 6  # ReportLab pads the frame of a page by so many points


class PdfPages:
    """Draws invoices. Raises OSError or reportlab's TTFError when the font file is none."""

    def __init__(self, font_file: str = "") -> None:
        pdfmetrics.registerFont(UnicodeCIDFont(_CHINESE))
        self._own = bool(font_file)
        if font_file:
            pdfmetrics.registerFont(TTFont(_OWN, Path(font_file)))
        plain, bold = (_OWN, _OWN) if font_file else ("Helvetica", "Helvetica-Bold")
        style = partial(ParagraphStyle, fontName=plain, textColor=_INK, fontSize=9, leading=13)
        self._body = style("body")
        self._small = style("small", fontSize=7.5, leading=10.5, textColor=_GREY)
        self._label = style("label", fontSize=7.5, leading=11, textColor=_GREY)
        self._strong = style("strong", fontName=bold)
        self._number = style("number", alignment=TA_RIGHT)
        self._sum = style("sum", alignment=TA_RIGHT, fontName=bold)
        self._right_label = style(
            "right-label", fontSize=7.5, leading=11, textColor=_GREY, alignment=TA_RIGHT
        )
        self._seller = style("seller", fontName=bold, fontSize=14, leading=18)
        self._title = style("title", fontName=bold, fontSize=22, leading=26, alignment=TA_RIGHT)
        self._plain = plain

    def draw(self, invoice: Invoice) -> bytes:
        """The file; the same invoice makes the same bytes."""
        buffer = io.BytesIO()
        title = invoice.number or "Statement"
        document = SimpleDocTemplate(
            buffer, pagesize=A4, leftMargin=20 * mm - _FRAME, rightMargin=20 * mm - _FRAME, topMargin=18 * mm,
            bottomMargin=22 * mm, title=title, author=_printable(invoice.seller.name), invariant=1,
        )  # fmt: skip
        story = [
            self._head(invoice),
            Spacer(0, 9 * mm),
            self._balances(invoice),
            Spacer(0, 8 * mm),
            *self._section("Usage", invoice.usage, ("Model", "Requests", f"Amount ({invoice.currency})")),
            self._total(invoice),
            *self._section("Money in", invoice.credits, ("Kind", "Number", f"Amount ({invoice.currency})")),
            *self._section("Money out", invoice.debits, ("Kind", "Number", f"Amount ({invoice.currency})")),
            Spacer(0, 6 * mm),
            self._text(
                "Prepaid: usage was paid from the balance as it happened, nothing is due. Opening balance"
                " plus money in, less money out and usage, is the closing balance. Times are UTC.",
                self._small,
            ),
        ]
        document.build(story, canvasmaker=partial(_NumberedCanvas, footer=title, font=self._plain))
        return buffer.getvalue()

    def _head(self, invoice: Invoice) -> Table:
        issued = invoice.issued_at
        facts = [
            ("Number", invoice.number or "not issued"),
            ("Issued", f"{datetime.fromisoformat(issued):%Y-%m-%d}" if issued else "-"),
            ("Period", _period(invoice)),
            ("Account", invoice.account),
        ]
        seller = [self._text(invoice.seller.name, self._seller), *self._party(invoice.seller)]
        buyer = [
            self._text("Billed to", self._label),
            self._text(invoice.buyer.name, self._strong),
            *self._party(invoice.buyer),
        ]
        title = [self._text("Invoice" if invoice.number else "Statement", self._title)]
        rows = [[self._text(name, self._label), self._text(value, self._body)] for name, value in facts]
        details = Table(rows, colWidths=[18 * mm, 70 * mm], style=_TIGHT)
        head = Table([[seller, title], [buyer, details]], colWidths=[_WIDTH - 88 * mm, 88 * mm], style=_TIGHT)
        head.setStyle(TableStyle([("TOPPADDING", (0, 1), (-1, 1), 10 * mm)]))
        return head

    def _party(self, party: Party) -> list[Paragraph]:
        lines = [*party.address, party.email]
        if party.tax_id:
            lines.append(f"Tax id {party.tax_id}")
        return [self._text(line, self._body) for line in lines if line]

    def _balances(self, invoice: Invoice) -> Table:
        columns = [
            ("Opening balance", invoice.opening),
            ("Money in", invoice.came),
            ("Money out", invoice.went),
            ("Usage", invoice.charged),
            ("Closing balance", invoice.closing),
        ]
        table = Table(
            [
                [self._text(name, self._right_label) for name, _ in columns],
                [self._text(_amount(value), self._sum) for _, value in columns],
            ],
            colWidths=[_WIDTH / len(columns)] * len(columns),
        )
        table.setStyle(
            TableStyle(
                [
                    ("BACKGROUND", (0, 0), (-1, -1), _BAND),
                    ("TOPPADDING", (0, 0), (-1, 0), 7),
                    ("BOTTOMPADDING", (0, 0), (-1, 0), 0),
                    ("BOTTOMPADDING", (0, 1), (-1, 1), 8),
                ]
            )
        )
        return table

    def _section(self, title: str, lines: Sequence[Line], columns: tuple[str, str, str]) -> list[Flowable]:
        if not lines:
            return []
        head = [
            self._text(columns[0], self._label),
            self._text(columns[1], self._right_label),
            self._text(columns[2], self._right_label),
        ]
        rows: list[list[Any]] = [head]
        for line in lines:
            cell = [self._text(line.title, self._body)]
            if line.quantities:
                cell.append(self._text(_quantities(line.quantities), self._small))
            amounts = [self._text(_amount(line.amount), self._number)]
            if line.free != "0":
                amounts.append(self._text(f"free allowance {_amount(line.free)}", self._right_label))
            rows.append([cell, self._text(f"{line.count:,}", self._number), amounts])
        table = Table(rows, colWidths=[_WIDTH - 70 * mm, 28 * mm, 42 * mm], repeatRows=1)
        table.setStyle(
            TableStyle(
                [
                    ("VALIGN", (0, 0), (-1, -1), "TOP"),
                    ("LEFTPADDING", (0, 0), (0, -1), 0),
                    ("RIGHTPADDING", (-1, 0), (-1, -1), 0),
                    ("LINEBELOW", (0, 0), (-1, 0), 0.8, _INK),
                    ("LINEBELOW", (0, 1), (-1, -1), 0.4, _RULE),
                ]
            )
        )
        return [self._text(title, self._strong), Spacer(0, 2 * mm), table, Spacer(0, 6 * mm)]

    def _total(self, invoice: Invoice) -> Table:
        rows = [("Total usage", invoice.charged, self._sum)]
        if invoice.free != "0":
            rows.append(("of which paid by free allowance", invoice.free, self._number))
        table = Table(
            [
                [self._text(name, self._number), self._text(f"{_amount(value)} {invoice.currency}", style)]
                for name, value, style in rows
            ],
            colWidths=[_WIDTH - 52 * mm, 52 * mm],
            style=_TIGHT,
        )
        table.setStyle(TableStyle([("BOTTOMPADDING", (0, -1), (-1, -1), 8 * mm)]))
        return table

    def _text(self, text: str, style: ParagraphStyle) -> Paragraph:
        text = _printable(text)
        if self._own:
            return Paragraph(escape(text), style)
        return Paragraph("".join(_run(text)), style)


class _NumberedCanvas(Canvas):
    """Knows how many pages there are when it writes the foot of each."""

    def __init__(self, *args: Any, footer: str, font: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self._footer = footer
        self._font = font
        self._pages: list[dict[str, Any]] = []

    def showPage(self) -> None:  # noqa: N802  ReportLab's name
        self._pages.append(dict(vars(self)))
        self._startPage()  # type: ignore[attr-defined]  # missing from the stubs

    def save(self) -> None:
        for number, page in enumerate(self._pages, 1):
            vars(self).update(page)
            self.setFont(self._font, 7.5)
            self.setFillColor(_GREY)
            self.drawString(20 * mm, 12 * mm, self._footer)
            self.drawRightString(A4[0] - 20 * mm, 12 * mm, f"Page {number} of {len(self._pages)}")
            super().showPage()
        super().save()


_TIGHT = TableStyle(
    [
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        *((f"{side}PADDING", (0, 0), (-1, -1), 0) for side in ("LEFT", "RIGHT", "TOP", "BOTTOM")),
    ]
)


def _printable(text: str) -> str:
    """Without what the standard fonts cannot set: controls, and what lies beyond the basic plane."""
    return _UNPRINTABLE.sub("\ufffd", text)


def _run(text: str) -> list[str]:
    """Markup that sets in Helvetica what it has, and all else in the Chinese font."""
    parts = []
    for is_latin, words in _runs(text):
        parts.append(escape(words) if is_latin else f'<font name="{_CHINESE}">{escape(words)}</font>')
    return parts


def _runs(text: str) -> list[tuple[bool, str]]:
    runs: list[tuple[bool, str]] = []
    for character in text:
        is_latin = _is_latin(character)
        if runs and runs[-1][0] == is_latin:
            runs[-1] = (is_latin, runs[-1][1] + character)
        else:
            runs.append((is_latin, character))
    return runs


def _is_latin(character: str) -> bool:
    try:
        character.encode("cp1252")
    except UnicodeEncodeError:
        return False
    return True


def _amount(text: str) -> str:
    """With thousands apart and two decimals at least; never rounded."""
    whole, _, fraction = text.partition(".")
    sign, digits = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    return f"{sign}{int(digits):,}.{fraction.ljust(_CENTS, '0')}"


def _quantities(quantities: dict[str, int]) -> str:
    return " \u00b7 ".join(f"{count:,} {unit.replace('_', ' ')}" for unit, count in quantities.items())


def _period(invoice: Invoice) -> str:
    since, until = datetime.fromisoformat(invoice.since), datetime.fromisoformat(invoice.until)
    midnights = {since.hour, since.minute, since.second, until.hour, until.minute, until.second} == {0}
    if midnights and not since.microsecond and not until.microsecond:
        return f"{since:%Y-%m-%d} to {until - timedelta(days=1):%Y-%m-%d}"
    return f"{since:%Y-%m-%d %H:%M:%S} to {until:%Y-%m-%d %H:%M:%S}"
