"""PDFs by ReportLab, which is loaded when the first one is asked for: it takes 20 MB."""

import asyncio
from functools import cached_property
from typing import TYPE_CHECKING

from billing.statements.domain.invoices import Invoice

if TYPE_CHECKING:
    from billing.statements.adapters.pdf_pages import PdfPages


class PdfPrinter:
    """See domain.ports.InvoicePrinter. `font_file` is a TrueType file to embed, or empty."""

    def __init__(self, font_file: str = "") -> None:
        self._font_file = font_file
        self._one = asyncio.Lock()

    async def pdf(self, invoice: Invoice) -> bytes:
        """See InvoicePrinter; one at a time in a thread, since each takes tens of milliseconds of work."""
        async with self._one:
            return await asyncio.to_thread(self._draw, invoice)

    def _draw(self, invoice: Invoice) -> bytes:
        return self._pages.draw(invoice)

    @cached_property
    def _pages(self) -> "PdfPages":
        from billing.statements.adapters.pdf_pages import PdfPages  # noqa: PLC0415  see the module

        return PdfPages(self._font_file)
