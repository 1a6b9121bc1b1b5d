"""What the composition root hands to the features, and what each gives back.

The core is what all of them stand on: apps, grants and tokens as they are stored, how an app proves who it
is, how a request for a resource is checked, and the pages' frame. Each sub-package has the rooms of a
service and an `app.py` that declares one `Feature`; `oauth.app` opens them in order. None imports another:
what one adds to another goes through `Parts`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

import msgspec
from litestar.datastructures import State
from litestar.types import ControllerRouterHandler

from common.contracts.bootstrap import Bootstrap
from common.kit.bus import Bus
from common.kit.db import Database
from common.kit.plugin import ServicePlugin
from common.kit.rpc import RpcClient, RpcServer
from common.kit.tasks import end_tasks, repeat
from oauth.domain.ports import Browsers, Clock, Completion, Exchange, IdTokens, Resource, Store
from oauth.domain.tokens import Digester
from oauth.routes.front import Hot
from oauth.settings import Settings


class Parts(msgspec.Struct):
    """The shared parts of a running service; `state` holds what routes ask for by name.

    `server` begins to answer once every feature is open. What is pushed on `stack` is taken down in reverse.
    """

    settings: Settings
    clock: Clock
    bootstrap: Bootstrap
    database: Database
    store: Store
    digester: Digester
    browsers: Browsers
    bus: Bus
    rpc: RpcClient
    server: RpcServer
    notify: Callable[[], None]
    plugin: ServicePlugin
    state: State
    stack: AsyncExitStack
    metadata: dict[str, object] = {}
    """What RFC 8414 metadata says, from each feature what it makes work."""
    grant_types: dict[str, Exchange] = {}
    """What the token endpoint takes besides codes and refresh tokens."""
    completions: dict[str, Completion] = {}
    """What happens once a person has decided, by the kind of request that asked."""
    id_tokens: IdTokens | None = None
    hot: dict[str, Hot] = {}
    """What is answered before Litestar, by path."""
    resources: dict[str, Resource] = {}
    """What the features answer to an app's token, by name, for the aliases: other paths, the same answers."""

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """A background task that ends with the service."""
        self.stack.push_async_callback(end_tasks, asyncio.create_task(work))

    def every(self, interval_s: float, work: Callable[[], Awaitable[None]]) -> None:
        """Do `work` now and every `interval_s`; a failure is logged and tried again, after 5 s at most."""
        self.run(repeat(interval_s, work))


class Feature(msgspec.Struct, frozen=True):
    """Routes, the names in `state` that they are given, and how it is opened."""

    controllers: tuple[ControllerRouterHandler, ...]
    names: tuple[str, ...]
    open: Callable[[Parts], Awaitable[None]]
