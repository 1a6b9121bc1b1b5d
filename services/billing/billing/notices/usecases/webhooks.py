"""Register webhooks, change them, and try them."""

from datetime import datetime

import msgspec

from billing.domain.ports import Clock
from billing.notices.domain.deliveries import Delivery
from billing.notices.domain.events import StoredEvent, structured
from billing.notices.domain.ports import DeliveryQueue, EndpointStore
from billing.notices.domain.webhooks import (
    MAX_ENDPOINTS,
    Endpoint,
    check_description,
    check_owner,
    check_patterns,
)
from common.contracts.errors import ConflictError, NotFoundError
from common.kit.ids import uuid7
from common.webhooks.attempts import Outcome
from common.webhooks.deliverer import Send
from common.webhooks.signatures import Secret, check_url, new_secret, rotated, signature

TEST_TYPE = "billing.webhook.test.v1"
"""Sent by a test alone, never part of a stream: its sequence is 0."""
_MAX_DIGITS = 18


class WebhookRules(msgspec.Struct, frozen=True):
    """What this installation allows, its clock, and how it sends."""

    clock: Clock
    send: Send
    allow_private: bool


class TrialBody(msgspec.Struct, frozen=True, tag=TEST_TYPE, tag_field="type"):
    """The body of a test."""

    id: str
    sequence: int
    account: str
    webhook: str


async def create_webhook(
    store: EndpointStore, rules: WebhookRules, endpoint: Endpoint
) -> tuple[Endpoint, str]:
    """Keep the endpoint; it and its secret, which is shown this once.

    InvalidRequestError names the field that is wrong, ConflictError says that the account has too many.
    """
    check_owner(endpoint.account)
    _check(endpoint, rules)
    secret = new_secret()
    if not await store.add(endpoint, [secret], MAX_ENDPOINTS):
        raise ConflictError(f"An account has at most {MAX_ENDPOINTS} webhooks.")
    return endpoint, secret.value


async def list_webhooks(store: EndpointStore, account: str | None, after: str, limit: int) -> list[Endpoint]:
    """The account's endpoints, or everybody's, in order of their making."""
    return await store.page(account, after, limit)


async def find_webhook(store: EndpointStore, id_: str, account: str | None) -> Endpoint:
    """One; NotFoundError when there is none or it is not `account`'s (None may see all)."""
    endpoint = await store.find(id_)
    if endpoint is None or account not in (None, endpoint.account):
        raise NotFoundError("There is no such webhook.")
    return endpoint


async def change_webhook(store: EndpointStore, rules: WebhookRules, changed: Endpoint) -> Endpoint:
    """Put the new fields in force; enabling begins with a clean slate."""
    _check(changed, rules)
    await store.change(changed)
    return await find_webhook(store, changed.id, None)


async def rotate_secret(store: EndpointStore, endpoint: Endpoint, now: datetime) -> list[Secret]:
    """A new secret, shown this once, and the one before, which signs beside it for a day."""
    secrets = rotated(await store.secrets(endpoint.id), now)
    await store.change_secrets(endpoint.id, secrets)
    return secrets


async def remove_webhook(store: EndpointStore, endpoint: Endpoint) -> None:
    """Forget the endpoint and its deliveries."""
    await store.remove(endpoint.id)


async def try_webhook(store: EndpointStore, rules: WebhookRules, endpoint: Endpoint) -> Outcome:
    """Send one signed test now, whether enabled or not, and tell what came of it; nothing is tried again."""
    secrets = await store.secrets(endpoint.id)
    event, now = uuid7(), rules.clock()
    body = msgspec.json.encode(TrialBody(event, 0, endpoint.account, endpoint.id))
    told = structured(StoredEvent(event, TEST_TYPE, endpoint.account, 0, now, body))
    return await rules.send(endpoint.url, signature(event, now, told, secrets), told)


async def list_deliveries(
    queue: DeliveryQueue, endpoint: Endpoint, before: int, limit: int
) -> list[Delivery]:
    """The endpoint's deliveries with a number below `before`, newest first."""
    return await queue.page(endpoint.id, before, limit)


async def redeliver(queue: DeliveryQueue, endpoint: Endpoint, delivery: str, now: datetime) -> None:
    """Send a delivery again, as if it were new, whatever came of it before; NotFoundError without one."""
    known = delivery.isascii() and delivery.isdecimal() and len(delivery) <= _MAX_DIGITS
    if not known or not await queue.again(endpoint.id, delivery, now):
        raise NotFoundError("There is no such delivery.")


def _check(endpoint: Endpoint, rules: WebhookRules) -> None:
    check_url(endpoint.url, allow_private=rules.allow_private)
    check_patterns(endpoint.patterns)
    check_description(endpoint.description)
