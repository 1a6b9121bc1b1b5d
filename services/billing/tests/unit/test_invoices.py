"""Invoices as documents: what does not add up is not printed, and any text can be."""

from datetime import UTC, datetime

import pytest

from billing.statements.adapters.pdf import PdfPrinter
from billing.statements.domain.invoices import Books, Invoice, MovementLine, Party, UsageLine, compose_invoice
from common.contracts.errors import ServiceError

SINCE, UNTIL = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)


def composed(books: Books, buyer: str = "b") -> Invoice:
    return compose_invoice("a", SINCE, UNTIL, Party("s", ("x",)), Party(buyer, (buyer,)), books)


def test_books_that_do_not_add_up_make_no_invoice() -> None:
    usage = (UsageLine("m", 1, 30, 10, {"input": 1}),)
    moved = (MovementLine("topup", "promo", 1, 100), MovementLine("chargeback", "stripe_clearing", 1, -20))
    invoice = composed(Books(5, 55, usage, moved))
    assert (invoice.came, invoice.went, invoice.charged, invoice.free) == (
        "0.0000001", "0.00000002", "0.00000003", "0.00000001",
    )  # fmt: skip
    with pytest.raises(ServiceError, match="add up"):
        composed(Books(5, 56, usage, moved))


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "深圳市某某公司",
        "Привет",
        "<b>&amp;</b>",
        "\0\x1b",
        "🎉 e\u0301",
        "\ud800",
        "x" * 200,
        "",
        "中" * 200,
    ],
)
async def test_any_text_can_be_printed(text: str) -> None:
    usage = tuple(UsageLine(f"{text} {index}", index, 1, 0, {"input": 10**12}) for index in range(120))
    pdf = await PdfPrinter().pdf(composed(Books(120, 0, usage, ()), text))
    assert pdf.startswith(b"%PDF-")
    assert pdf.rstrip().endswith(b"%%EOF")
    assert pdf.count(b"/Type /Page\n") > 1
