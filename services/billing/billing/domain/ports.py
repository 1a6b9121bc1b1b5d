"""What the use-cases need from the outside."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol, runtime_checkable

from billing.domain.books import Books, Operation

Clock = Callable[[], datetime]
"""The ledger's clock: aware, UTC."""


@runtime_checkable
class LedgerSession(Protocol):
    """One transaction on the books."""

    async def load(self, operations: Sequence[Operation], now: datetime) -> Books:
        """Lock, in one fixed order, and read what the operations need; missing rows are made first."""
        ...

    async def save(self, books: Books) -> None:
        """Write what the decisions made of them."""
        ...


@runtime_checkable
class Ledger(Protocol):
    """The books in the database."""

    def transaction(self) -> AbstractAsyncContextManager[LedgerSession]:
        """Commit at the end of the block, roll back when it raises."""
        ...

    def is_transient(self, error: BaseException) -> bool:
        """Whether the same batch may succeed when it is tried again."""
        ...
