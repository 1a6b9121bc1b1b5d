"""The composition root of notices."""

from contextlib import AsyncExitStack
from datetime import timedelta

from billing.notices.adapters.postgres.alerts import PostgresAlerts
from billing.notices.adapters.postgres.deliveries import PostgresDeliveries
from billing.notices.adapters.postgres.events import PostgresEvents
from billing.notices.adapters.postgres.webhooks import PostgresWebhooks
from billing.notices.adapters.vault import SecretVault
from billing.notices.domain.deliveries import Outcome
from billing.notices.domain.ports import Send
from billing.notices.routes.alerts import AlertController
from billing.notices.routes.events import EventController
from billing.notices.routes.webhooks import WebhookController
from billing.notices.usecases.deliveries import Deliverer
from billing.notices.usecases.events import forget_events
from billing.notices.usecases.webhooks import WebhookRules
from billing.parts import Feature, Parts

_DAY_S = 86_400
DELIVERY_DAYS = 30
"""How long a finished delivery is shown and can be sent again."""


async def open_notices(parts: Parts) -> None:
    """Make the parts; webhooks are delivered where there is a `secret_key`."""
    settings, database, clock = parts.settings, parts.database, parts.clock
    vault = SecretVault(settings.secret_key)
    log = PostgresEvents(database)
    queue = PostgresDeliveries(database, vault)
    sender = _Sender(parts.stack, allow_loopback=settings.webhooks_allow_private)
    parts.state.event_log = log
    parts.state.alerts = PostgresAlerts(database)
    parts.state.webhooks = PostgresWebhooks(database, vault)
    parts.state.webhook_deliveries = queue
    parts.state.webhook_rules = WebhookRules(clock, sender.send, settings.webhooks_allow_private)

    async def keep_house() -> None:
        await forget_events(log, clock(), settings.events_days)
        await queue.prune(clock() - timedelta(days=DELIVERY_DAYS))

    parts.every(_DAY_S, keep_house)
    if vault.is_on:
        parts.run(Deliverer(queue, sender.send, parts.writer, clock, settings.webhook_interval_s).run())


class _Sender:
    """HttpWebhooks from the first delivery on: where there are no webhooks aiohttp's 8 MB are not loaded."""

    def __init__(self, stack: AsyncExitStack, *, allow_loopback: bool) -> None:
        self._stack = stack
        self._allow_loopback = allow_loopback
        self._send: Send | None = None

    async def send(self, url: str, headers: dict[str, str], body: bytes) -> Outcome:
        """See domain.ports.Send."""
        if self._send is None:
            from billing.notices.adapters.http_webhooks import TIMEOUT_S, HttpWebhooks  # noqa: PLC0415  as above
            from billing.notices.adapters.outbound import OutboundHttp  # noqa: PLC0415  as above

            http = OutboundHttp(TIMEOUT_S, allow_loopback=self._allow_loopback)
            self._send = HttpWebhooks(http).send
            await self._stack.enter_async_context(http)
        return await self._send(url, headers, body)


NOTICES = Feature(
    controllers=(EventController, WebhookController, AlertController),
    names=("event_log", "alerts", "webhooks", "webhook_deliveries", "webhook_rules"),
    open=open_notices,
)
