"""/api/billing/invoices, their PDFs, and /api/billing/billing_details."""

from datetime import date
from typing import Annotated

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter, SkipValidation

from billing.domain.leases import is_uuid
from billing.domain.periods import parse_period
from billing.domain.ports import Clock
from billing.routes.principals import account_of
from billing.statements.domain.invoices import Invoice, IssuedInvoice, Party
from billing.statements.domain.ports import InvoicePrinter
from billing.statements.domain.rollups import parse_month
from billing.statements.usecases.invoices import Invoices
from common.contracts.errors import InvalidRequestError, NotFoundError
from common.contracts.principals import Principal

_MAX_TEXT = 200
_MAX_LINES = 6
_LAST_MONTH = date(9999, 12, 1)
_MAX_NUMBER = 2**63 - 1


class IssueRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`month` as in 2026-11; an admin may name another account."""

    month: str
    account: str | None = None


class DetailsRequest(Party, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The buyer as it will stand on invoices; an admin may name another account."""

    account: str | None = None


class InvoiceItem(msgspec.Struct, frozen=True):
    """An issued invoice in a list."""

    number: str | None
    account: str
    since: str
    until: str
    issued_at: str | None
    charged: str
    closing: str
    currency: str


class InvoiceList(msgspec.Struct, frozen=True):
    """Newest first; `next` is the `after` of the next page, null at the end."""

    data: list[InvoiceItem]
    next: str | None


class Wanted(msgspec.Struct, frozen=True):
    """A question about a month or a period; neither asks for the list."""

    account: str
    month: str | None
    since: str | None
    until: str | None

    @property
    def is_list(self) -> bool:
        """Whether no period is named."""
        return self.month is None and self.since is None and self.until is None


def provide_wanted(
    principal: NamedDependency[Principal],
    *,
    account: FromQuery[str | None] = None,
    month: FromQuery[str | None] = None,
    since: Annotated[str | None, QueryParameter(name="from")] = None,
    until: Annotated[str | None, QueryParameter(name="to")] = None,
) -> Wanted:
    """The period that is asked for: `month`, or `from` and `to`; ForbiddenError for another account."""
    return Wanted(account_of(principal, account), month, since, until)


class InvoiceController(Controller):
    """Invoices and statements."""

    path = "/api/billing"
    tags = ("billing",)
    dependencies = {"wanted": Provide(provide_wanted, sync_to_thread=False)}  # noqa: RUF012  Litestar's way

    @get("/invoices")
    async def read_or_list(
        self,
        wanted: NamedDependency[Wanted],
        invoices: NamedDependency[Invoices],
        after: FromQuery[str | None] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=500)] = 50,
    ) -> InvoiceList | Invoice:
        """With a period that period as it stands, or as it was issued; without one the issued invoices."""
        if not wanted.is_list:
            return await _statement(invoices, wanted)
        if wanted.account == "all":
            rows = await invoices.list_all_invoices(_number(after), limit + 1)
        elif is_uuid(wanted.account):
            before = _LAST_MONTH if after is None else parse_month(after).since
            rows = await invoices.list_invoices(wanted.account, before, limit + 1)
        else:
            rows = []
        page = rows[:limit]
        if len(rows) <= limit:
            return InvoiceList([_item(row) for row in page], None)
        last = page[-1]
        cursor = str(last.number) if wanted.account == "all" else last.invoice.since[:7]
        return InvoiceList([_item(row) for row in page], cursor)

    @get("/invoices.pdf")
    async def read_pdf(
        self,
        wanted: NamedDependency[Wanted],
        invoices: NamedDependency[Invoices],
        printer: NamedDependency[InvoicePrinter],
    ) -> Response[bytes]:
        """A period as a PDF."""
        return await _pdf(printer, await _statement(invoices, wanted))

    @post("/invoices")
    async def issue(
        self,
        principal: NamedDependency[Principal],
        invoices: NamedDependency[Invoices],
        clock: NamedDependency[SkipValidation[Clock]],
        data: JSONBody[IssueRequest],
    ) -> Invoice:
        """Issue a month that is over, once; again it answers the same invoice."""
        account = _customer(account_of(principal, data.account))
        return await invoices.issue_invoice(account, parse_month(data.month), clock())

    @get("/invoices/{number:str}")
    async def read(
        self,
        principal: NamedDependency[Principal],
        invoices: NamedDependency[Invoices],
        printer: NamedDependency[InvoicePrinter],
        number: FromPath[str],
    ) -> Response[bytes] | Invoice:
        """An issued invoice, as a PDF when `.pdf` follows its number; another account's is not found."""
        own = None if principal.is_admin else principal.account
        invoice = await invoices.find_invoice(number.removesuffix(".pdf"), own)
        return await _pdf(printer, invoice) if number.endswith(".pdf") else invoice

    @get("/billing_details")
    async def read_details(
        self, wanted: NamedDependency[Wanted], invoices: NamedDependency[Invoices]
    ) -> Party:
        """The buyer as it stands on invoices to come."""
        return await invoices.read_details(_customer(wanted.account))

    @post("/billing_details")
    async def put_details(
        self,
        principal: NamedDependency[Principal],
        invoices: NamedDependency[Invoices],
        clock: NamedDependency[SkipValidation[Clock]],
        data: JSONBody[DetailsRequest],
    ) -> Party:
        """Change it for invoices to come; those issued stay as they are."""
        account = _customer(account_of(principal, data.account))
        _check(data)
        party = Party(data.name.strip(), data.address, data.tax_id, data.email)
        return await invoices.put_details(account, party, clock())


async def _statement(invoices: Invoices, wanted: Wanted) -> Invoice:
    account = _customer(wanted.account)
    if wanted.month is not None:
        if wanted.since is not None or wanted.until is not None:
            raise InvalidRequestError("Ask for a month, or for from and to.", param="month")
        return await invoices.read_month(account, parse_month(wanted.month))
    period = parse_period(wanted.since, wanted.until)
    if period.since is None or period.until is None:
        raise InvalidRequestError("A period has from and to, or is a month.", param="from")
    return await invoices.read_statement(account, period.since, period.until)


def _customer(account: str) -> str:
    if not is_uuid(account):
        raise NotFoundError("There is no such account.")
    return account


def _number(after: str | None) -> int:
    if after is None:
        return _MAX_NUMBER
    if not (after.isascii() and after.isdigit() and int(after) <= _MAX_NUMBER):
        raise InvalidRequestError("Not a cursor of this list.", param="after")
    return int(after)


def _check(details: Party) -> None:
    for param, text in (("name", details.name), ("tax_id", details.tax_id), ("email", details.email)):
        if len(text) > _MAX_TEXT or "\0" in text:
            raise InvalidRequestError(f"{param} has at most {_MAX_TEXT} characters.", param=param)
    if not details.name.strip():
        raise InvalidRequestError("A buyer has a name.", param="name")
    if len(details.address) > _MAX_LINES or any(
        len(line) > _MAX_TEXT or "\0" in line for line in details.address
    ):
        raise InvalidRequestError(
            f"address has at most {_MAX_LINES} lines of {_MAX_TEXT} characters.", param="address"
        )


async def _pdf(printer: InvoicePrinter, invoice: Invoice) -> Response[bytes]:
    name = invoice.number or f"statement-{invoice.since[:10]}-{invoice.until[:10]}"
    return Response(
        await printer.pdf(invoice),
        media_type="application/pdf",
        headers={"content-disposition": f'attachment; filename="{name}.pdf"'},
    )


def _item(row: IssuedInvoice) -> InvoiceItem:
    invoice = row.invoice
    return InvoiceItem(
        invoice.number,
        invoice.account,
        invoice.since,
        invoice.until,
        invoice.issued_at,
        invoice.charged,
        invoice.closing,
        invoice.currency,
    )
