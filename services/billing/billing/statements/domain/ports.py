"""What the use-cases of statements need from the outside."""

from datetime import date, datetime
from typing import Protocol, runtime_checkable

from billing.statements.domain.invoices import Books, Invoice, IssuedInvoice, Party
from billing.statements.domain.rollups import Rollup, RollupKey, RollupQuery
from billing.statements.domain.transfers import Balance, PostedTransfer, TransferPlace, TransferQuery


@runtime_checkable
class RollupStore(Protocol):
    """Usage summed by day, and the log behind it."""

    async def watermark(self) -> int | None:
        """The last position of the log below which nothing can appear any more; None when all is folded."""
        ...

    async def fold(self, watermark: int, limit: int) -> bool:
        """Add the next `limit` positions up to the watermark to the sums; whether there is more to do here.

        False also when another replica is at it.
        """
        ...

    async def read(self, query: RollupQuery, after: RollupKey, limit: int) -> list[Rollup]:
        """The sums after a place, in one snapshot: what is folded and what is not yet."""
        ...


@runtime_checkable
class TransferReader(Protocol):
    """Transfers of an account, read only."""

    async def newest(self, query: TransferQuery, before: TransferPlace, limit: int) -> list[PostedTransfer]:
        """Those wanted before a place, newest first."""
        ...

    async def balance_at(self, account: str, at: datetime) -> Balance:
        """What the account had after the last of its transfers that was posted before `at`."""
        ...


@runtime_checkable
class InvoiceStore(Protocol):
    """The ledger of a period, buyers' details, and issued invoices, which never change."""

    async def books(self, account: str, since: datetime, until: datetime) -> Books:
        """What the ledger says of the account's period, in one snapshot."""
        ...

    async def party(self, account: str) -> Party | None:
        """What the account's invoices say of the buyer; None when nobody told."""
        ...

    async def put_party(self, account: str, party: Party, now: datetime) -> None:
        """Keep it for invoices issued from now on."""
        ...

    async def issue(self, series: str, month: date, invoice: Invoice, now: datetime) -> IssuedInvoice:
        """Give the series' next number to the account's month, without a gap; once: then the first stands."""
        ...

    async def of_month(self, account: str, month: date) -> IssuedInvoice | None:
        """The account's invoice of a month."""
        ...

    async def find(self, series: str, number: int) -> IssuedInvoice | None:
        """An invoice by its number."""
        ...

    async def of_account(self, account: str, before: date, limit: int) -> list[IssuedInvoice]:
        """The account's invoices of months before `before`, newest first."""
        ...

    async def of_series(self, series: str, before: int, limit: int) -> list[IssuedInvoice]:
        """Everybody's invoices with numbers below `before`, newest first."""
        ...


@runtime_checkable
class InvoicePrinter(Protocol):
    """Makes a document to send and keep."""

    async def pdf(self, invoice: Invoice) -> bytes:
        """The invoice on A4."""
        ...
