"""What the composition root hands to the sub-packages, and what each gives back.

Each sub-package (payments, memberships, statements, seals, notices) has the rooms of a service and an
`app.py` that declares one `Feature`; `billing.app` opens them in order. None imports another.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

import msgspec
from litestar.datastructures import State
from litestar.types import ControllerRouterHandler

from billing.adapters.postgres.ledger import PostgresLedger
from billing.domain.ports import Clock, Writer
from billing.settings import Settings
from common.contracts.bootstrap import Bootstrap
from common.kit.bus import Bus
from common.kit.db import Database
from common.kit.plugin import ServicePlugin
from common.kit.rpc import RpcClient, RpcServer
from common.kit.tasks import RETRY_S, end_tasks, repeat

_LOG = logging.getLogger(__name__)


class Parts(msgspec.Struct):
    """The shared parts of a running service; `state` holds what routes ask for by name.

    `server` begins to answer once every feature is open. What is pushed on `stack` is taken down in reverse.
    """

    settings: Settings
    clock: Clock
    bootstrap: Bootstrap
    database: Database
    ledger: PostgresLedger
    bus: Bus
    rpc: RpcClient
    server: RpcServer
    writer: Writer
    notify: Callable[[], None]
    plugin: ServicePlugin
    state: State
    stack: AsyncExitStack

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """A background task that ends with the service."""
        self.stack.push_async_callback(end_tasks, asyncio.create_task(work))

    def every(self, interval_s: float, work: Callable[[], Awaitable[None]]) -> None:
        """Do `work` now and every `interval_s`; a failure is logged and tried again, after 5 s at most."""
        self.run(repeat(interval_s, work))

    def until_done(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do `work` once; a failure is logged and tried again every 5 s."""
        self.run(_until_done(work))


def _accept(_bootstrap: Bootstrap) -> None:
    pass


class Feature(msgspec.Struct, frozen=True):
    """Routes of a sub-package, the names in `state` they are given, and how it is opened.

    `check` raises InvalidRequestError when its part of the bootstrap file cannot be, before anything starts.
    """

    controllers: tuple[ControllerRouterHandler, ...]
    names: tuple[str, ...]
    open: Callable[[Parts], Awaitable[None]]
    check: Callable[[Bootstrap], None] = _accept


async def _until_done(work: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await work()
        except Exception as error:  # noqa: BLE001  as `repeat`
            _LOG.warning("start-up work failed, tried again: %r", error)
            await asyncio.sleep(RETRY_S)
        else:
            return
