"""Where an app is told of its charges: set, tried, told again."""

import logging
from datetime import datetime

import msgspec

from common.contracts.errors import NotFoundError
from common.kit.ids import uuid7
from common.webhooks.attempts import GONE, Outcome
from common.webhooks.deliverer import Send
from common.webhooks.signatures import Secret, check_url, new_secret, rotated, signature
from oauth.charges.domain.ports import DeliveryLog, WebhookStore
from oauth.charges.domain.webhooks import TEST_TYPE, Delivery, Due, Webhook
from oauth.domain.apps import App
from oauth.domain.ports import Clock

_LOG = logging.getLogger(__name__)
_MAX_DIGITS = 18


class Trial(msgspec.Struct, frozen=True):
    """The body of a test."""

    id: str
    type: str
    created_at: datetime


class Webhooks:
    """The webhooks of all apps; `allow_private` lets loopback addresses be registered."""

    def __init__(
        self, store: WebhookStore, log: DeliveryLog, send: Send, clock: Clock, *, allow_private: bool
    ) -> None:
        self._store = store
        self._log = log
        self._send = send
        self._clock = clock
        self._allow_private = allow_private

    async def put(self, app: App, url: str, *, enabled: bool) -> tuple[Webhook, str | None]:
        """The app's webhook, and when it is new its secret, which nobody sees again. InvalidRequestError."""
        check_url(url, allow_private=self._allow_private)
        secret = new_secret()
        is_new = await self._store.put(Webhook(app.id, url, enabled, "", None, self._clock()), secret)
        return await self.get(app), secret.value if is_new else None

    async def get(self, app: App) -> Webhook:
        """NotFoundError when the app has none."""
        found = await self._store.find(app.id)
        if found is None:
            raise NotFoundError("The app has no webhook.")
        return found

    async def rotate(self, app: App) -> list[Secret]:
        """A new secret, shown this once, and the one before, which signs beside it for a day."""
        secrets = rotated(await self._store.secrets(app.id), self._clock())
        await self._store.change_secrets(app.id, secrets)
        return secrets

    async def remove(self, app: App) -> None:
        """Forget it, and what was still to be delivered."""
        await self._store.remove((await self.get(app)).app)

    async def test(self, app: App) -> Outcome:
        """Send one signed test now and tell what came of it; nothing is tried again."""
        webhook, secrets, now = await self.get(app), await self._store.secrets(app.id), self._clock()
        event = uuid7()
        body = msgspec.json.encode(Trial(event, TEST_TYPE, now))
        return await self._send(webhook.url, signature(event, now, body, secrets), body)

    async def deliveries(self, app: App, before: int, limit: int) -> list[Delivery]:
        """With a number below `before`, newest first."""
        return await self._log.list_page((await self.get(app)).app, before, limit)

    async def redeliver(self, app: App, delivery: str) -> None:
        """Send it again, as if it were new, under the same id; NotFoundError without one."""
        known = delivery.isascii() and delivery.isdecimal() and len(delivery) <= _MAX_DIGITS
        if not known or not await self._log.again(app.id, int(delivery), self._clock()):
            raise NotFoundError("There is no such delivery.")

    async def give_up(self, due: Due, outcome: Outcome, failing_since: datetime) -> None:
        """Disable what is hopeless; its owner finds the reason beside it."""
        await self._store.disable(due.app, "gone" if outcome.response_code == GONE else "failing")
        _LOG.warning("webhooks: that of app %s, failing since %s, is disabled", due.app, failing_since)
