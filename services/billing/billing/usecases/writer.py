"""The group-commit writer: everything that moves money queues here and is committed together.

What waits is carried out in one transaction (no timer), up to BATCH, so a hot account is the cheapest case
instead of the dearest. There are LANES of them at a time, and a customer's work keeps to one lane: Python
works on one batch while PostgreSQL writes the other, and neither waits for a row of the other's. Batches, of
one process or of several, are correct together by row locks.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from billing.domain.books import Operation
from billing.domain.ports import Clock, Ledger
from common.contracts.errors import ServiceError, UnavailableError

_LOG = logging.getLogger(__name__)
BATCH = 512
LANES = 2
QUEUE_LIMIT = 10_000
"""Size that may wait; more is refused at once, since it could not be answered in time."""
PATIENCE_S = 5.0
"""How long a batch is tried again while the database is away; after that its callers are told."""
_RETRY_S = (0.0, 0.05, 0.1, 0.2, 0.5)


class LedgerWriter:
    """`submit` an operation and get its decision once it is committed.

    `on_commit` is called after every commit. A failed COMMIT may have happened: the batch is tried again,
    and since every operation knows itself by its ids, it then finds that it was done.
    """

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        on_commit: Callable[[], None],
        *,
        queue_limit: int = QUEUE_LIMIT,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._on_commit = on_commit
        self._queue_limit = queue_limit
        self._patience_s = patience_s
        self._lanes = tuple(_Lane() for _ in range(LANES))
        self._waiting = 0
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to write."""
        self._tasks = [
            asyncio.create_task(self._run(lane), name=f"ledger-writer-{number}")
            for number, lane in enumerate(self._lanes)
        ]

    async def stop(self) -> None:
        """Finish the batches under way and refuse what waits."""
        self._stopping = True
        for lane in self._lanes:
            lane.some.set()
        for task in self._tasks:
            await task
        for lane in self._lanes:
            for pending in (*lane.calls, *lane.bulk):
                pending.refuse(UnavailableError("Billing is stopping."))

    def lane_of(self, customer: str) -> int:
        """See domain.ports.Writer; the same for as long as the process lives."""
        return hash(customer) % LANES

    def submit(self, operation: Operation, customer: str = "") -> asyncio.Future[Any]:
        """The operation's decision, once it is committed; or its ServiceError, nothing changed.

        Whose it is only saves waiting: see `lane_of`. UnavailableError: the queue is full (nothing was done),
        or the database is away (the outcome is unknown: repeat with the same ids). Cancelled while it waits,
        it is not carried out.
        """
        pending = _Pending(operation, asyncio.get_running_loop().create_future())
        if self._waiting >= self._queue_limit:
            pending.refuse(UnavailableError("Too much waits for the ledger.", retry_after_s=1))
            return pending.future
        self._waiting += pending.size
        self._lanes[self.lane_of(customer)].add(pending)
        return pending.future

    async def _run(self, lane: "_Lane") -> None:
        while True:
            await lane.some.wait()
            if self._stopping:
                return
            batch = lane.take()
            self._waiting -= sum(pending.size for pending in batch)
            live = [pending for pending in batch if not pending.future.done()]
            if live:
                await self._carry_out(live)

    async def _carry_out(self, batch: list["_Pending"]) -> None:
        try:
            await self._commit_patiently(batch)
        except Exception as error:  # noqa: BLE001  whatever failed, its callers are told
            if self._ledger.is_transient(error):
                _LOG.warning("ledger: away, %d operations refused: %r", len(batch), error)
                for pending in batch:
                    pending.refuse(UnavailableError("The ledger is away.", retry_after_s=1))
            elif len(batch) == 1:
                _LOG.error("ledger: %s failed", type(batch[0].operation).__name__, exc_info=error)
                batch[0].refuse(ServiceError("Internal error."))
            else:
                # One operation spoils the transaction of all: each gets its own.
                for pending in batch:
                    await self._carry_out([pending])

    async def _commit_patiently(self, batch: list["_Pending"]) -> None:
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self._patience_s
        attempt = 0
        while True:
            try:
                outcomes = await self._commit(batch)
            except Exception as error:
                if not self._ledger.is_transient(error) or loop.time() > deadline_s:
                    raise
                _LOG.warning("ledger: a batch of %d is tried again: %r", len(batch), error)
                await asyncio.sleep(_RETRY_S[min(attempt, len(_RETRY_S) - 1)])
                attempt += 1
            else:
                break
        self._on_commit()
        for pending, outcome in zip(batch, outcomes, strict=True):
            pending.resolve(outcome)

    async def _commit(self, batch: list["_Pending"]) -> list[object]:
        async with self._ledger.transaction() as session:
            books = await session.load([pending.operation for pending in batch], self._clock())
            outcomes: list[object] = []
            for pending in batch:
                try:
                    outcomes.append(pending.operation.decide(books))
                except ServiceError as error:
                    outcomes.append(error)
            await session.save(books)
        return outcomes


class _Lane:
    """What waits for its turn."""

    __slots__ = ("bulk", "calls", "some")

    def __init__(self) -> None:
        self.calls: deque[_Pending] = deque()
        self.bulk: deque[_Pending] = deque()
        self.some = asyncio.Event()

    def add(self, pending: "_Pending") -> None:
        (self.calls if pending.size == 1 else self.bulk).append(pending)
        self.some.set()

    def take(self) -> list["_Pending"]:
        """What waits, BATCH at most: calls first, then of the bulk what the room and their patience allow.

        Somebody waits for each call, nobody for bulk. So calls never queue behind more bulk than one
        operation, and there is always one.
        """
        batch: list[_Pending] = []
        while self.calls and len(batch) < BATCH:
            batch.append(self.calls.popleft())
        bulk_until = BATCH if not batch else 1
        bulk = 0
        while self.bulk and bulk < bulk_until:
            batch.append(self.bulk.popleft())
            bulk += batch[-1].size
        if not (self.calls or self.bulk):
            self.some.clear()
        return batch


class _Pending:
    """An operation and the future its caller waits for; a caller may have gone away."""

    __slots__ = ("future", "operation", "size")

    def __init__(self, operation: Operation, future: asyncio.Future[Any]) -> None:
        self.operation = operation
        self.future = future
        self.size = operation.size

    def resolve(self, outcome: object) -> None:
        if self.future.done():
            return
        if isinstance(outcome, ServiceError):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)

    def refuse(self, error: ServiceError) -> None:
        if not self.future.done():
            self.future.set_exception(error)
