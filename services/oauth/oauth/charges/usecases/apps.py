"""Whose app it is."""

from collections.abc import Collection

from common.contracts.errors import NotFoundError
from oauth.domain.apps import App
from oauth.domain.ports import Store


async def find_app(core: Store, owner: str | None, client_id: str) -> App:
    """The owner's app, disabled or not (None: anybody's); NotFoundError."""
    async with core.transaction() as work:
        app = await work.apps.find(client_id)
    if app is None or owner not in (None, app.owner):
        raise NotFoundError("There is no such app.")
    return app


async def find_apps(core: Store, apps: Collection[str]) -> dict[str, App]:
    """By App.id, disabled or not; apps that charged are never deleted."""
    async with core.transaction() as work:
        return await work.apps.get_many(apps)
