"""Invoices: look at a period, issue a month once, find what was issued."""

from datetime import date, datetime

from billing.statements.domain.invoices import (
    Invoice,
    IssuedInvoice,
    Party,
    check_moved,
    check_over,
    compose_invoice,
)
from billing.statements.domain.ports import InvoiceStore
from billing.statements.domain.rollups import Days, midnight
from common.contracts.errors import NotFoundError


class Invoices:
    """All invoices of one seller, numbered in one series."""

    def __init__(self, store: InvoiceStore, series: str, seller: Party) -> None:
        self._store = store
        self.series = series
        self._seller = seller

    async def read_statement(self, account: str, since: datetime, until: datetime) -> Invoice:
        """The period as a document without a number."""
        buyer = await self._store.party(account) or Party(account)
        books = await self._store.books(account, since, until)
        return compose_invoice(account, since, until, self._seller, buyer, books)

    async def read_month(self, account: str, month: Days) -> Invoice:
        """The month's invoice if it is issued, else the month as it stands."""
        issued = await self._store.of_month(account, month.since)
        if issued is not None:
            return issued.invoice
        return await self.read_statement(account, midnight(month.since), midnight(month.until))

    async def issue_invoice(self, account: str, month: Days, now: datetime) -> Invoice:
        """The month's invoice, issued now or before: it never changes and has one number.

        MonthNotOverError, NothingToInvoiceError.
        """
        issued = await self._store.of_month(account, month.since)
        if issued is None:
            until = midnight(month.until)
            check_over(month, until, now)
            invoice = await self.read_statement(account, midnight(month.since), until)
            check_moved(invoice)
            issued = await self._store.issue(self.series, month.since, invoice, now)
        return issued.invoice

    async def find_invoice(self, number: str, account: str | None) -> Invoice:
        """An issued invoice; NotFoundError when there is none or it is not `account`'s (None sees all)."""
        series, _, digits = number.rpartition("-")
        if digits.isascii() and digits.isdigit() and len(digits) <= 18 and "\0" not in series:
            issued = await self._store.find(series, int(digits))
            if issued is not None and account in (None, issued.invoice.account):
                return issued.invoice
        raise NotFoundError("There is no such invoice.")

    async def list_invoices(self, account: str, before: date, limit: int) -> list[IssuedInvoice]:
        """The account's, newest month first."""
        return await self._store.of_account(account, before, limit)

    async def list_all_invoices(self, before: int, limit: int) -> list[IssuedInvoice]:
        """Everybody's, highest number first."""
        return await self._store.of_series(self.series, before, limit)

    async def read_details(self, account: str) -> Party:
        """What the account's invoices say of the buyer."""
        return await self._store.party(account) or Party(account)

    async def put_details(self, account: str, party: Party, now: datetime) -> Party:
        """Keep it; issued invoices stay as they are."""
        await self._store.put_party(account, party, now)
        return party
