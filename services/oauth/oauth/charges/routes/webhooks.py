"""/api/oauth/apps/{client_id}/webhook: where an app is told of its charges."""

from datetime import datetime
from typing import Annotated

import msgspec
from litestar import delete, get, post, put
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody, QueryParameter

from common.kit.money import MAX_NANO
from oauth.charges.domain.webhooks import Delivery, Webhook
from oauth.charges.routes.apps import provide_app
from oauth.charges.routes.charges import PageLimit
from oauth.charges.usecases.webhooks import Webhooks
from oauth.domain.apps import App
from oauth.routes.principals import ManagementController


class WebhookPut(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of PUT."""

    url: str
    enabled: bool = True


class WebhookView(msgspec.Struct, frozen=True):
    """A webhook; `secret` is told once, when it is new."""

    url: str
    enabled: bool
    disabled_reason: str
    failing_since: datetime | None
    created_at: datetime
    secret: str | None = None


class SecretView(msgspec.Struct, frozen=True):
    """A rotated secret; the one before signs beside it until `previous_until`."""

    secret: str
    previous_until: datetime | None


class DeliveryList(msgspec.Struct, frozen=True):
    """Newest first; `next` is the `before` of the next page, null at the end."""

    data: list[Delivery]
    next: str | None


class TrialView(msgspec.Struct, frozen=True):
    """What a test came to."""

    succeeded: bool
    response_code: int | None
    error: str


class AppWebhookController(ManagementController):
    """The webhook of an app of the caller's, or of any for an admin."""

    path = "/api/oauth/apps/{client_id:str}/webhook"
    dependencies = {**ManagementController.dependencies, "app": Provide(provide_app)}  # noqa: RUF012

    @put()
    async def set(
        self,
        app: NamedDependency[App],
        app_webhooks: NamedDependency[Webhooks],
        data: JSONBody[WebhookPut],
    ) -> WebhookView:
        """Set or change it; enabling forgets its failures."""
        return _view(*await app_webhooks.put(app, data.url, enabled=data.enabled))

    @get()
    async def read(self, app: NamedDependency[App], app_webhooks: NamedDependency[Webhooks]) -> WebhookView:
        """The app's webhook."""
        return _view(await app_webhooks.get(app), None)

    @delete()
    async def remove(self, app: NamedDependency[App], app_webhooks: NamedDependency[Webhooks]) -> None:
        """Forget it, and what was still to be delivered."""
        await app_webhooks.remove(app)

    @post("/rotate")
    async def rotate(self, app: NamedDependency[App], app_webhooks: NamedDependency[Webhooks]) -> SecretView:
        """A new secret, shown this once; both sign for a day."""
        newest, previous = await app_webhooks.rotate(app)
        return SecretView(newest.value, previous.until)

    @post("/test", status_code=200)
    async def test(self, app: NamedDependency[App], app_webhooks: NamedDependency[Webhooks]) -> TrialView:
        """Send a signed test now and tell what the receiver answered; 10 seconds at most."""
        outcome = await app_webhooks.test(app)
        return TrialView(outcome.succeeded, outcome.response_code, outcome.error)

    @get("/deliveries")
    async def deliveries(
        self,
        app: NamedDependency[App],
        app_webhooks: NamedDependency[Webhooks],
        before: Annotated[int, QueryParameter(ge=1, le=MAX_NANO)] = MAX_NANO,
        limit: PageLimit = 50,
    ) -> DeliveryList:
        """What was sent, or is to be, and what came of it."""
        found = await app_webhooks.deliveries(app, before, limit + 1)
        page = found[:limit]
        return DeliveryList(page, page[-1].id if len(found) > limit else None)

    @post("/deliveries/{delivery:str}/redeliver", status_code=202)
    async def redeliver(
        self,
        app: NamedDependency[App],
        app_webhooks: NamedDependency[Webhooks],
        delivery: FromPath[str],
    ) -> None:
        """Send it once more, with all attempts, under the same id."""
        await app_webhooks.redeliver(app, delivery)


def _view(webhook: Webhook, secret: str | None) -> WebhookView:
    return WebhookView(
        webhook.url,
        webhook.enabled,
        webhook.disabled_reason,
        webhook.failing_since,
        webhook.created_at,
        secret,
    )
