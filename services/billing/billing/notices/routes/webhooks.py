"""/api/billing/webhooks: endpoints, their secrets, their deliveries."""

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from litestar import Controller, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from billing.domain.leases import is_uuid
from billing.notices.domain.deliveries import Delivery
from billing.notices.domain.ports import DeliveryQueue, EndpointStore
from billing.notices.domain.webhooks import NOTICES, Endpoint
from billing.notices.usecases.webhooks import (
    WebhookRules,
    change_webhook,
    create_webhook,
    find_webhook,
    list_deliveries,
    list_webhooks,
    redeliver,
    remove_webhook,
    rotate_secret,
    try_webhook,
)
from billing.routes.principals import account_of
from common.contracts.errors import InvalidRequestError, NotFoundError
from common.contracts.principals import Principal
from common.kit.ids import uuid7
from common.kit.money import MAX_NANO

_FIRST = "00000000-0000-0000-0000-000000000000"
PageLimit = Annotated[int, QueryParameter(ge=1, le=500)]


class WebhookCreate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`events` are patterns in which `*` stands for anything; `all_accounts` is for admins."""

    url: str
    events: list[str] = msgspec.field(default_factory=lambda: list(NOTICES))
    description: str = ""
    enabled: bool = True
    all_accounts: bool = False


class WebhookPatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The fields to change."""

    url: str | msgspec.UnsetType = msgspec.UNSET
    events: list[str] | msgspec.UnsetType = msgspec.UNSET
    description: str | msgspec.UnsetType = msgspec.UNSET
    enabled: bool | msgspec.UnsetType = msgspec.UNSET


class WebhookView(msgspec.Struct, frozen=True):
    """An endpoint; `failing_since` is the first failure after the last success."""

    id: str
    account: str
    url: str
    events: list[str]
    description: str
    all_accounts: bool
    enabled: bool
    disabled_reason: str
    failing_since: str | None
    created_at: str


class NewWebhookView(WebhookView, frozen=True, kw_only=True):
    """The only answer that holds the secret."""

    secret: str


class SecretView(msgspec.Struct, frozen=True):
    """A rotated secret; the one before signs beside it until `previous_until`."""

    secret: str
    previous_until: str


class WebhookList(msgspec.Struct, frozen=True):
    """In order of their making; `next` is the `after` of the next page, null at the end."""

    data: list[WebhookView]
    next: str | None


class DeliveryView(msgspec.Struct, frozen=True):
    """One event for one endpoint; `next_attempt_at` is null while an attempt is under way or none will be."""

    id: str
    event: str
    type: str
    account: str
    sequence: int
    status: str
    attempts: int
    response_code: int | None
    error: str
    created_at: str
    next_attempt_at: str | None
    finished_at: str | None


class DeliveryList(msgspec.Struct, frozen=True):
    """Newest first; `next` is the `before` of the next page, null at the end."""

    data: list[DeliveryView]
    next: str | None


class TrialView(msgspec.Struct, frozen=True):
    """What a test came to."""

    succeeded: bool
    response_code: int | None
    error: str


class WebhookController(Controller):
    """Webhooks: everybody has their own, admins reach all; another's is indistinguishable from none."""

    path = "/api/billing/webhooks"
    tags = ("billing",)

    @post()
    async def create(
        self,
        principal: NamedDependency[Principal],
        webhooks: NamedDependency[EndpointStore],
        webhook_rules: NamedDependency[WebhookRules],
        data: JSONBody[WebhookCreate],
        account: FromQuery[str | None] = None,
    ) -> NewWebhookView:
        """Register an endpoint; its signing secret is shown this once."""
        if data.all_accounts:
            principal.require_admin()
        endpoint = Endpoint(
            id=uuid7(),
            account=account_of(principal, account),
            url=data.url,
            patterns=tuple(data.events),
            description=data.description,
            everybody=data.all_accounts,
            enabled=data.enabled,
            disabled_reason="",
            failing_since=None,
            created_at=webhook_rules.clock(),
        )
        endpoint, secret = await create_webhook(webhooks, webhook_rules, endpoint)
        return NewWebhookView(**_fields(endpoint), secret=secret)

    @get()
    async def list_(
        self,
        principal: NamedDependency[Principal],
        webhooks: NamedDependency[EndpointStore],
        account: FromQuery[str | None] = None,
        after: FromQuery[str] = _FIRST,
        limit: PageLimit = 50,
    ) -> WebhookList:
        """The caller's own endpoints; an admin may name another account, or `all`."""
        account = account_of(principal, account)
        everybody = account == "all"
        if not is_uuid(after):
            raise InvalidRequestError("Not a cursor of this list.", param="after")
        if not (everybody or is_uuid(account)):
            return WebhookList([], None)
        found = await list_webhooks(webhooks, None if everybody else account, after, limit + 1)
        page = found[:limit]
        cursor = page[-1].id if len(found) > limit else None
        return WebhookList([WebhookView(**_fields(endpoint)) for endpoint in page], cursor)

    @get("/{webhook:str}")
    async def read(
        self,
        principal: NamedDependency[Principal],
        webhooks: NamedDependency[EndpointStore],
        webhook: FromPath[str],
    ) -> WebhookView:
        """One endpoint."""
        return WebhookView(**_fields(await _found(webhooks, principal, webhook)))

    @patch("/{webhook:str}")
    async def change(
        self,
        principal: NamedDependency[Principal],
        webhooks: NamedDependency[EndpointStore],
        webhook_rules: NamedDependency[WebhookRules],
        webhook: FromPath[str],
        data: JSONBody[WebhookPatch],
    ) -> WebhookView:
        """Change some fields; enabling an endpoint forgets its failures."""
        old = await _found(webhooks, principal, webhook)
        changes = {
            ("patterns" if name == "events" else name): tuple(value) if isinstance(value, list) else value
            for name in data.__struct_fields__
            if (value := getattr(data, name)) is not msgspec.UNSET
        }
        changed = await change_webhook(webhooks, webhook_rules, msgspec.structs.replace(old, **changes))
        return WebhookView(**_fields(changed))

    @delete("/{webhook:str}")
    async def remove(
        self,
        principal: NamedDependency[Principal],
        webhooks: NamedDependency[EndpointStore],
        webhook: FromPath[str],
    ) -> None:
        """Forget the endpoint, and what was still to be delivered to it."""
        await remove_webhook(webhooks, await _found(webhooks, principal, webhook))

    @post("/{webhook:str}/rotate")
    async def rotate(
        self,
        principal: NamedDependency[Principal],
        webhooks: NamedDependency[EndpointStore],
        webhook_rules: NamedDependency[WebhookRules],
        webhook: FromPath[str],
    ) -> SecretView:
        """A new secret, shown this once; both sign for a day."""
        endpoint = await _found(webhooks, principal, webhook)
        newest, previous = await rotate_secret(webhooks, endpoint, webhook_rules.clock())
        return SecretView(newest.value, _time(previous.until) or "")

    @post("/{webhook:str}/test", status_code=200)
    async def test(
        self,
        principal: NamedDependency[Principal],
        webhooks: NamedDependency[EndpointStore],
        webhook_rules: NamedDependency[WebhookRules],
        webhook: FromPath[str],
    ) -> TrialView:
        """Send a signed test event now and tell what the receiver answered; 10 seconds at most."""
        endpoint = await _found(webhooks, principal, webhook)
        outcome = await try_webhook(webhooks, webhook_rules, endpoint)
        return TrialView(outcome.succeeded, outcome.response_code, outcome.error)

    @get("/{webhook:str}/deliveries")
    async def deliveries(
        self,
        principal: NamedDependency[Principal],
        webhooks: NamedDependency[EndpointStore],
        webhook_deliveries: NamedDependency[DeliveryQueue],
        webhook: FromPath[str],
        before: Annotated[int, QueryParameter(ge=1, le=MAX_NANO)] = MAX_NANO,
        limit: PageLimit = 50,
    ) -> DeliveryList:
        """What was sent, or is to be, and what came of it."""
        endpoint = await _found(webhooks, principal, webhook)
        found = await list_deliveries(webhook_deliveries, endpoint, before, limit + 1)
        page = found[:limit]
        return DeliveryList(
            [_delivery(delivery) for delivery in page], page[-1].id if len(found) > limit else None
        )

    @post("/{webhook:str}/deliveries/{delivery:str}/redeliver", status_code=202)
    async def redeliver(
        self,
        principal: NamedDependency[Principal],
        webhooks: NamedDependency[EndpointStore],
        webhook_deliveries: NamedDependency[DeliveryQueue],
        webhook_rules: NamedDependency[WebhookRules],
        webhook: FromPath[str],
        delivery: FromPath[str],
    ) -> None:
        """Send it once more, with all attempts, whatever came of it."""
        endpoint = await _found(webhooks, principal, webhook)
        await redeliver(webhook_deliveries, endpoint, delivery, webhook_rules.clock())


async def _found(webhooks: EndpointStore, principal: Principal, webhook: str) -> Endpoint:
    if not is_uuid(webhook):
        raise NotFoundError("There is no such webhook.")
    return await find_webhook(webhooks, webhook, None if principal.is_admin else principal.account)


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat(timespec="milliseconds")


def _fields(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "id": endpoint.id,
        "account": endpoint.account,
        "url": endpoint.url,
        "events": list(endpoint.patterns),
        "description": endpoint.description,
        "all_accounts": endpoint.everybody,
        "enabled": endpoint.enabled,
        "disabled_reason": endpoint.disabled_reason,
        "failing_since": _time(endpoint.failing_since),
        "created_at": _time(endpoint.created_at),
    }


def _delivery(delivery: Delivery) -> DeliveryView:
    return DeliveryView(
        delivery.id,
        delivery.event,
        delivery.type,
        delivery.account,
        delivery.sequence,
        delivery.status,
        delivery.attempts,
        delivery.response_code,
        delivery.error,
        _time(delivery.created_at) or "",
        _time(delivery.due_at),
        _time(delivery.finished_at),
    )
