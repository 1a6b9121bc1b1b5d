"""Refusals of notices."""

from common.contracts.errors import ServiceError


class EventsExpiredError(ServiceError):
    """The events asked for were kept once and are no more; the message says where to go on."""

    code = "events_expired"
    status = 410


class WebhooksOffError(ServiceError):
    """This installation has no secret to keep webhook secrets under."""

    code = "webhooks_off"
    status = 503
