"""The composition root of notices."""

from datetime import datetime, timedelta

from billing.notices.adapters.postgres.alerts import PostgresAlerts
from billing.notices.adapters.postgres.deliveries import PostgresDeliveries
from billing.notices.adapters.postgres.events import PostgresEvents
from billing.notices.adapters.postgres.webhooks import PostgresWebhooks
from billing.notices.adapters.vault import SecretVault
from billing.notices.domain.deliveries import Due
from billing.notices.domain.events import EVENT_TYPE
from billing.notices.routes.alerts import AlertController
from billing.notices.routes.events import EventController
from billing.notices.routes.webhooks import WebhookController
from billing.notices.usecases.deliveries import disable_endpoint
from billing.notices.usecases.events import forget_events
from billing.notices.usecases.webhooks import WebhookRules
from billing.parts import Feature, Parts
from common.webhooks.attempts import Outcome
from common.webhooks.deliverer import Deliverer
from common.webhooks.lazy import LazySender

_DAY_S = 86_400
DELIVERY_DAYS = 30
"""How long a finished delivery is shown and can be sent again."""


async def open_notices(parts: Parts) -> None:
    """Make the parts; webhooks are delivered where there is a `secret_key`."""
    settings, database, clock = parts.settings, parts.database, parts.clock
    vault = SecretVault(settings.secret_key)
    log = PostgresEvents(database)
    queue = PostgresDeliveries(database, vault)
    sender = LazySender(parts.stack, EVENT_TYPE, allow_loopback=settings.webhooks_allow_private)
    parts.state.event_log = log
    parts.state.alerts = PostgresAlerts(database)
    parts.state.webhooks = PostgresWebhooks(database, vault)
    parts.state.webhook_deliveries = queue
    parts.state.webhook_rules = WebhookRules(clock, sender.send, settings.webhooks_allow_private)

    async def keep_house() -> None:
        await forget_events(log, clock(), settings.events_days)
        await queue.prune(clock() - timedelta(days=DELIVERY_DAYS))

    async def disable(due: Due, outcome: Outcome, failing_since: datetime) -> None:
        await disable_endpoint(queue, parts.writer, due, outcome, failing_since)

    parts.every(_DAY_S, keep_house)
    if vault.is_on:
        parts.run(Deliverer(queue, sender.send, disable, clock, settings.webhook_interval_s).run())


NOTICES = Feature(
    controllers=(EventController, WebhookController, AlertController),
    names=("event_log", "alerts", "webhooks", "webhook_deliveries", "webhook_rules"),
    open=open_notices,
)
