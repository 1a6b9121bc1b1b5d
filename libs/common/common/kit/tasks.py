"""Background tasks, ended for certain."""

import asyncio
from typing import Any

_AGAIN_S = 0.2


async def end_tasks(*tasks: asyncio.Task[Any]) -> None:
    """Cancel the tasks and wait until every one is done; what they raise is dropped.

    One cancellation may get lost: before Python 3.12 `asyncio.wait_for`, cancelled in the moment that its
    future is done, returns instead, and a loop around it would run for ever.
    """
    pending: set[asyncio.Task[Any]] = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        done, pending = await asyncio.wait(pending, timeout=_AGAIN_S)
        for task in done:
            _ = task.cancelled() or task.exception()  # read, else asyncio reports it as never retrieved
