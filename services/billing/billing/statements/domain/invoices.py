"""Invoices: an account's period as a document that reconciles with the ledger to the nano."""

from datetime import datetime, timedelta

import msgspec

from billing.statements.domain.rollups import Days
from common.contracts.errors import ConflictError, ServiceError
from common.kit.money import format_usd

SETTLING = timedelta(minutes=10)
"""After the end of a month: what was being posted at its last moment is in the books by then."""
TITLES = {
    "topup": "Top-up",
    "grant": "Credit granted",
    "payment": "Payment",
    "redemption": "Redeemed code",
    "refund": "Refund",
    "payment_refund": "Payment returned",
    "chargeback": "Chargeback",
}


class NothingToInvoiceError(ConflictError):
    """Nothing moved in the month."""

    code = "nothing_to_invoice"


class MonthNotOverError(ConflictError):
    """The month, or the settling after it, is not over."""

    code = "month_not_over"


class Party(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who sells or buys, as it stands on the document; `address` is lines."""

    name: str
    address: tuple[str, ...] = ()
    tax_id: str = ""
    email: str = ""


class UsageLine(msgspec.Struct, frozen=True):
    """What was charged for one model, or for work of one kind that is no model's; in the reader's order."""

    title: str
    requests: int
    amount_nano: int
    free_nano: int
    quantities: dict[str, int]


class MovementLine(msgspec.Struct, frozen=True):
    """Other money that came (`amount_nano` above zero) or went, by kind and other ledger account."""

    kind: str
    counter: str
    count: int
    amount_nano: int


class Books(msgspec.Struct, frozen=True):
    """What the ledger says of a period, nano-USD; the balances are wallet and held together."""

    opening_nano: int
    closing_nano: int
    usage: tuple[UsageLine, ...]
    movements: tuple[MovementLine, ...]


class Line(msgspec.Struct, frozen=True):
    """A line of the document; amounts are decimal strings, `free` the part that an allowance paid."""

    title: str
    count: int
    amount: str
    quantities: dict[str, int] = {}
    free: str = "0"


class Invoice(msgspec.Struct, frozen=True):
    """The document: opening + came - went - charged = closing.

    `number` and `issued_at` are null on a statement that is not an issued invoice. Times are UTC, the end
    excluded. `came` and `went` are the sums of `credits` and `debits`, `charged` of `usage`, and `free` the
    part of it that a free allowance paid.
    """

    number: str | None
    issued_at: str | None
    account: str
    since: str
    until: str
    seller: Party
    buyer: Party
    usage: tuple[Line, ...]
    credits: tuple[Line, ...]
    debits: tuple[Line, ...]
    opening: str
    came: str
    went: str
    charged: str
    free: str
    closing: str
    currency: str = "USD"


class IssuedInvoice(msgspec.Struct, frozen=True):
    """An invoice by its place in the series."""

    series: str
    number: int
    invoice: Invoice


def invoice_number(series: str, number: int) -> str:
    """`INV-000042`."""
    return f"{series}-{number:06d}"


def compose_invoice(
    account: str, since: datetime, until: datetime, seller: Party, buyer: Party, books: Books
) -> Invoice:
    """The document of a period, not issued; ServiceError when the books do not add up."""
    charged = sum(line.amount_nano for line in books.usage)
    moved = sum(line.amount_nano for line in books.movements)
    if books.opening_nano + moved - charged != books.closing_nano:
        raise ServiceError("The statement does not add up; run the audit.")
    return Invoice(
        number=None,
        issued_at=None,
        account=account,
        since=since.isoformat(),
        until=until.isoformat(),
        seller=seller,
        buyer=buyer,
        usage=tuple(
            Line(
                line.title,
                line.requests,
                format_usd(line.amount_nano),
                line.quantities,
                format_usd(line.free_nano),
            )
            for line in books.usage
        ),
        credits=tuple(_line(line) for line in books.movements if line.amount_nano > 0),
        debits=tuple(_line(line) for line in books.movements if line.amount_nano < 0),
        opening=format_usd(books.opening_nano),
        came=format_usd(sum(line.amount_nano for line in books.movements if line.amount_nano > 0)),
        went=format_usd(-sum(line.amount_nano for line in books.movements if line.amount_nano < 0)),
        charged=format_usd(charged),
        free=format_usd(sum(line.free_nano for line in books.usage)),
        closing=format_usd(books.closing_nano),
    )


def check_over(month: Days, until: datetime, now: datetime) -> None:
    """MonthNotOverError unless all of the month is in the books."""
    if now < until + SETTLING:
        minutes = int(SETTLING.total_seconds() // 60)
        raise MonthNotOverError(
            f"{month.since:%Y-%m} is invoiced from {minutes} minutes after its end (UTC) on.", param="month"
        )


def check_moved(invoice: Invoice) -> None:
    """NothingToInvoiceError when nothing did."""
    if not (invoice.usage or invoice.credits or invoice.debits):
        raise NothingToInvoiceError("Nothing moved in that month.", param="month")


def _line(line: MovementLine) -> Line:
    title = TITLES.get(line.kind, line.kind.replace("_", " ").capitalize())
    kind, _, name = line.counter.partition(":")
    if kind == "app_payable":
        title = f"{title} ({name})"
    return Line(title, line.count, format_usd(abs(line.amount_nano)))
