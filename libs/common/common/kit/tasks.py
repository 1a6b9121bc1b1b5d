"""Background tasks: what is done again and again, and an end that is certain."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

_LOG = logging.getLogger(__name__)
_AGAIN_S = 0.2
RETRY_S = 5.0


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


async def repeat(interval_s: float, work: Callable[[], Awaitable[None]]) -> None:
    """Do `work` now and every `interval_s`; a failure is logged and tried again, after 5 s at most."""
    while True:
        try:
            await work()
        except Exception as error:  # noqa: BLE001  database or broker away: the next round does it
            _LOG.warning("periodic work failed: %r", error)
            await asyncio.sleep(min(interval_s, RETRY_S))
        else:
            await asyncio.sleep(interval_s)
