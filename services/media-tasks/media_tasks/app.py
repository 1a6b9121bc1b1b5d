"""The composition root of the media tasks service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from litestar import Litestar

from common.kit.bus import Bus
from common.kit.db import Database
from common.kit.plugin import ServicePlugin
from media_tasks.settings import Settings


def create_app(settings: Settings) -> Litestar:
    """The service: probes and metrics on its ops port, no route on its main port yet."""
    plugin = ServicePlugin("media-tasks", settings)

    @asynccontextmanager
    async def connections(_app: Litestar) -> AsyncIterator[None]:
        database = Database(settings.database_url)
        bus = await Bus.connect(settings.nats_url, f"media-tasks-{settings.replica}")
        plugin.checks |= {"postgres": database.ping, "nats": bus.ping}
        try:
            yield
        finally:
            await bus.close()
            await database.close()

    return Litestar(plugins=[plugin], lifespan=[connections], openapi_config=None)
