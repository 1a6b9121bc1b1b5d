"""Balance history."""

from datetime import datetime

from billing.statements.domain.ports import TransferReader
from billing.statements.domain.transfers import Balance, PostedTransfer, TransferPlace, TransferQuery


async def list_transfers(
    reader: TransferReader, query: TransferQuery, before: TransferPlace, limit: int
) -> list[PostedTransfer]:
    """The account's transfers before a place, newest first."""
    return await reader.newest(query, before, limit)


async def read_balance(reader: TransferReader, account: str, at: datetime) -> Balance:
    """What the account had right before `at`."""
    return await reader.balance_at(account, at)
