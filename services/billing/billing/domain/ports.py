"""What the use-cases need from the outside."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from billing.domain.audits import AuditCheck, MoreCheck, Period
from billing.domain.books import Books, Operation
from billing.domain.holds import Hold, State
from billing.domain.simulations import PastUse, UseFilter
from billing.domain.spenders import Spender
from billing.domain.statements import Balances, ChargedUsage, Position, UsageFilter
from common.contracts.prices import Multiplier, Price, PriceBook

Clock = Callable[[], datetime]
"""The ledger's clock: aware, UTC."""
AccountFinder = Callable[[str], Awaitable[str]]
"""E-mail to account; raises ServiceError when there is no such user or nobody can tell now."""


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


@runtime_checkable
class Writer(Protocol):
    """The group-commit writer."""

    def submit(self, operation: Operation, customer: str = "") -> Awaitable[Any]:
        """The operation's committed decision, or its ServiceError; `customer` is whose it is, where known."""
        ...

    def lane_of(self, customer: str) -> int:
        """Work of one customer is done in order in one lane; what is of another lane does not wait for it."""
        ...


@runtime_checkable
class PayableReader(Protocol):
    """What the platform owes to apps."""

    async def read(self, apps: Sequence[str]) -> Mapping[str, int]:
        """Nano-USD by client id, of those that were ever credited."""
        ...


@runtime_checkable
class LeaseKeeper(Protocol):
    """Housekeeping in the database."""

    async def due(self, cutoff: datetime, limit: int) -> tuple[str, ...]:
        """Leases that had expired by `cutoff` and still hold or may take money; oldest first."""
        ...

    async def prune(self, before: datetime, inbox_days: int) -> None:
        """Forget leases settled before `before`, and usage ids older than `inbox_days`."""
        ...

    async def create_partitions(self, months: int) -> None:
        """Make the tables for this month and the `months` after it."""
        ...


@runtime_checkable
class HoldKeeper(Protocol):
    """Which holds wait for the sweeper."""

    async def due(self, cutoff: datetime, limit: int) -> tuple[str, ...]:
        """Open holds whose time was over by `cutoff`, the earliest first."""
        ...

    async def prune(self, before: datetime) -> None:
        """Forget calls about holds that were made before `before`, holds that had given everything back by
        then, and those captured by then whose transfers are detached. An open hold is never forgotten.
        """
        ...


@runtime_checkable
class HoldReader(Protocol):
    """Holds, read only."""

    async def newest(
        self, account: str | None, state: State | None, after: Position, limit: int
    ) -> list[Hold]:
        """The account's holds after a position of the list, or everybody's, newest first."""
        ...

    async def find(self, hold: str) -> Hold | None:
        """One hold by its id."""
        ...


@runtime_checkable
class UsageBacklog(Protocol):
    """How far the usage stream is applied."""

    async def last(self) -> int:
        """The stream's last sequence now; UnavailableError when it cannot be asked."""
        ...

    async def applied(self, sequence: int) -> bool:
        """Whether everything up to `sequence` is charged; UnavailableError when it cannot be asked."""
        ...


@runtime_checkable
class DeadLetters(Protocol):
    """Where records go that can never be charged."""

    async def bury(self, payload: bytes, reason: str) -> None:
        """Keep the payload with its reason; UnavailableError when it cannot be kept now."""
        ...


@runtime_checkable
class PriceSession(Protocol):
    """A transaction in which nobody else gives price versions. `now_ms` is its time, Unix milliseconds."""

    now_ms: int

    async def current(self) -> PriceBook:
        """As PriceStore.current."""
        ...

    async def put(self, prices: Sequence[Price]) -> None:
        """Add the prices, each as the version it carries."""
        ...

    async def put_multiplier(self, name: str, multiplier: Multiplier | None, version: int) -> None:
        """Add what the name stands for from now on; None for nothing."""
        ...


@runtime_checkable
class PriceStore(Protocol):
    """All prices there were and are."""

    def transaction(self) -> AbstractAsyncContextManager[PriceSession]:
        """Commit at the end of the block, roll back when it raises."""
        ...

    async def current(self) -> PriceBook:
        """The prices in force by model name, those to come, and the multipliers."""
        ...

    async def versions(self, model: str, before: int, limit: int) -> list[Price]:
        """The model's prices of versions below `before`, newest first, in force or not."""
        ...

    async def has_source(self, source: str) -> bool:
        """Whether any price, in force or not, came from `source`."""
        ...


@runtime_checkable
class UsageHistory(Protocol):
    """All charges of a period."""

    async def each(self, wanted: UseFilter, take: Callable[[Sequence[PastUse]], None]) -> None:
        """Hand over the wanted usage in one snapshot, a bounded number of records at a time, in no order."""
        ...


@runtime_checkable
class PriceShelf(Protocol):
    """Where every service finds the price book."""

    async def read(self) -> tuple[PriceBook | None, int]:
        """The book that lies there and its revision; (None, 0) when none does."""
        ...

    async def replace(self, book: PriceBook, revision: int) -> bool:
        """Put the book if the shelf is still at `revision`; False when somebody else was faster."""
        ...


@runtime_checkable
class WalletReader(Protocol):
    """Balances."""

    async def read(self, account: str) -> Balances:
        """What a reservation would find now; an account the ledger has not met has what everybody has."""
        ...


@runtime_checkable
class SpenderReader(Protocol):
    """Spenders, read only."""

    async def read(self, spenders: Sequence[str]) -> list[Spender]:
        """Those of these ids that the ledger has met, as they were last written."""
        ...


@runtime_checkable
class UsageReader(Protocol):
    """Charges, read only."""

    async def newest(self, wanted: UsageFilter, before: Position, limit: int) -> list[ChargedUsage]:
        """The records that pass the filter, before `before`, newest first."""
        ...

    async def find(self, record: str) -> ChargedUsage | None:
        """One record by its id."""
        ...


@runtime_checkable
class Auditor(Protocol):
    """Checks the whole ledger in one snapshot."""

    def add(self, check: MoreCheck) -> None:
        """One more check for every run."""
        ...

    async def run(self, period: Period | None = None) -> list[AuditCheck]:
        """Every check on everything, or those that make sense of a period, in a fixed order."""
        ...

    async def billed(self, request_ids: Sequence[str]) -> dict[str, dict[str, int]]:
        """Quantities billed per request id, summed over its records; ids never billed are absent."""
        ...
