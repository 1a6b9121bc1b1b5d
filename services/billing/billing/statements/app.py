"""The composition root of statements."""

from billing.parts import Feature, Parts
from billing.statements.adapters.pdf import PdfPrinter
from billing.statements.adapters.postgres.invoices import PostgresInvoices
from billing.statements.adapters.postgres.rollups import PostgresRollups
from billing.statements.adapters.postgres.transfers import PostgresTransfers
from billing.statements.domain.invoices import Party
from billing.statements.routes.exports import ExportController
from billing.statements.routes.invoices import InvoiceController
from billing.statements.routes.margins import MarginController
from billing.statements.routes.rollups import RollupController
from billing.statements.routes.transfers import TransferController
from billing.statements.usecases.invoices import Invoices
from billing.statements.usecases.rollups import roll_up

ROLL_UP_S = 10.0
"""How much of the log is summed at every question, at most, instead of once."""


async def open_statements(parts: Parts) -> None:
    """Make and start the parts."""
    rollups = PostgresRollups(parts.database)
    state = parts.state
    state.rollups = rollups
    state.transfers = PostgresTransfers(parts.database)
    seller, *address = [line.strip() for line in parts.settings.invoice_seller.split("|")]
    store = PostgresInvoices(parts.database)
    state.invoices = Invoices(store, parts.settings.invoice_series, Party(seller, tuple(address)))
    state.printer = PdfPrinter(parts.settings.invoice_font)
    state.clock = parts.clock
    parts.every(ROLL_UP_S, lambda: roll_up(rollups))


STATEMENTS = Feature(
    controllers=(
        ExportController,
        RollupController,
        MarginController,
        TransferController,
        InvoiceController,
    ),
    names=("rollups", "transfers", "invoices", "printer", "clock"),
    open=open_statements,
)
