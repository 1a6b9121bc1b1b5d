"""Webhook endpoints, registered over the API or by a test with a secret of its choice."""

from simulators.stripe.account import Account, Object, merged, new_id, now
from simulators.stripe.errors import invalid, missing
from simulators.stripe.requests import CreateEndpoint, Params, UpdateEndpoint
from simulators.stripe.webhooks import MAX_ENDPOINTS, Endpoint, is_loopback


def create_endpoint(account: Account, params: CreateEndpoint) -> Object:
    """`POST /v1/webhook_endpoints`: the only answer that tells the secret."""
    return register(account, params, new_id("whsec", 32))


def register(account: Account, params: CreateEndpoint, secret: str) -> Object:
    """A new endpoint whose events are signed by `secret`; raises the 400 for an address not on loopback."""
    known = account.webhooks.endpoints
    if len(known) >= MAX_ENDPOINTS:
        raise invalid(f"At most {MAX_ENDPOINTS} webhook endpoints are possible", "url")
    _check(params.url, params.enabled_events)
    shown: Object = {
        "id": new_id("we"),
        "object": "webhook_endpoint",
        "api_version": params.api_version,
        "application": None,
        "created": now(),
        "description": params.description,
        "enabled_events": params.enabled_events,
        "livemode": False,
        "metadata": merged({}, params.metadata),
        "status": "enabled",
        "url": params.url,
    }
    known[shown["id"]] = Endpoint(shown, secret)
    return {**shown, "secret": secret}


def get_endpoint(account: Account, _params: Params, endpoint_id: str) -> Object:
    """`GET /v1/webhook_endpoints/{id}`."""
    return _shown(account, endpoint_id)


def update_endpoint(account: Account, params: UpdateEndpoint, endpoint_id: str) -> Object:
    """`POST /v1/webhook_endpoints/{id}`."""
    shown = _shown(account, endpoint_id)
    _check(params.url or shown["url"], params.enabled_events or shown["enabled_events"])
    for name in ("url", "enabled_events", "description"):
        shown[name] = getattr(params, name) or shown[name]
    if params.disabled is not None:
        shown["status"] = "disabled" if params.disabled else "enabled"
    shown["metadata"] = merged(shown["metadata"], params.metadata)
    return shown


def delete_endpoint(account: Account, _params: Params, endpoint_id: str) -> Object:
    """`DELETE /v1/webhook_endpoints/{id}`."""
    _shown(account, endpoint_id)
    del account.webhooks.endpoints[endpoint_id]
    return {"id": endpoint_id, "object": "webhook_endpoint", "deleted": True}


def _shown(account: Account, endpoint_id: str) -> Object:
    endpoint = account.webhooks.endpoints.get(endpoint_id)
    if endpoint is None:
        raise missing("webhook_endpoint", endpoint_id, "id")
    return endpoint.shown


def _check(url: str, enabled_events: list[str]) -> None:
    if not is_loopback(url):
        raise invalid("The simulator sends events to loopback addresses only", "url", "url_invalid")
    if not enabled_events:
        raise invalid("At least one event type, or *, is needed", "enabled_events", "parameter_missing")
