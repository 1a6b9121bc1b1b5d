"""Group commit: what many ask for at once is written by one transaction."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")
MOST = 256
_PATIENCE_S = 0.25


class Batches(Generic[ItemT, ResultT]):
    """`work` gets what waits while the batch before it is under way, MOST at once, and answers in its order.

    When a batch fails, each of its items is tried by itself, so that one spoils nothing for others.
    """

    def __init__(self, work: Callable[[Sequence[ItemT]], Awaitable[Sequence[ResultT]]]) -> None:
        self._work = work
        self._waiting: list[tuple[ItemT, asyncio.Future[ResultT]]] = []
        self._task: asyncio.Task[None] | None = None

    async def submit(self, item: ItemT) -> ResultT:
        """The item's result, or the error it failed with. Cancelled, it may still be done."""
        future: asyncio.Future[ResultT] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                await self._carry_out(batch)
        finally:
            self._task = None
            for _, future in self._waiting:  # only when the service ends
                future.cancel()

    async def _carry_out(self, batch: list[tuple[ItemT, asyncio.Future[ResultT]]]) -> None:
        try:
            results = await self._work([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001  each caller is told
            if len(batch) > 1:
                for one in batch:
                    await self._carry_out([one])
            elif not batch[0][1].done():
                batch[0][1].set_exception(error)
            return
        except BaseException:  # the service ends: nobody waits for ever
            for _, future in batch:
                future.cancel()
            raise
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)


class Gate:
    """Makes groups of those who come, so that they meet in the same batches all the way and share the costs.

    One group is inside at a time; who comes meanwhile goes in with the next. It is inside until its first
    member leaves, which is about when all do, or for `_PATIENCE_S`: who is slow holds up nobody for long.
    """

    def __init__(self) -> None:
        self._is_free = True
        self._waiting: list[asyncio.Future[Callable[[], None]]] = []

    async def enter(self) -> Callable[[], None]:
        """Wait for the next group to go in; the answer is to be called on leaving."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._admit)  # after all that come in this turn
        future: asyncio.Future[Callable[[], None]] = loop.create_future()
        self._waiting.append(future)
        return await future

    def _admit(self) -> None:
        if not self._is_free:
            return
        waiting = [future for future in self._waiting if not future.done()]  # else the caller is gone
        self._waiting = []
        if not waiting:
            return
        self._is_free, is_inside = False, True

        def leave() -> None:
            nonlocal is_inside
            if is_inside:
                is_inside, self._is_free = False, True
                timer.cancel()
                self._admit()

        timer = asyncio.get_running_loop().call_later(_PATIENCE_S, leave)
        for future in waiting:
            future.set_result(leave)
