"""Whose app it is."""

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
