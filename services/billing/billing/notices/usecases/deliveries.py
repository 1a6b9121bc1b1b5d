"""What is done about an endpoint to which nothing can be delivered any more."""

import logging
from contextlib import suppress
from datetime import datetime

from billing.domain.ports import Writer
from billing.notices.domain.deliveries import Due
from billing.notices.domain.ports import DeliveryQueue
from billing.notices.domain.webhooks import Disable
from common.contracts.errors import ServiceError
from common.kit.ids import named_id
from common.webhooks.attempts import GONE, Outcome

_LOG = logging.getLogger(__name__)


async def disable_endpoint(
    queue: DeliveryQueue, writer: Writer, due: Due, outcome: Outcome, failing_since: datetime
) -> None:
    """Tell first, by an id of this run of failures: a crash before the next line repeats both."""
    endpoint = due.endpoint
    reason = "gone" if outcome.response_code == GONE else "failing"
    event = named_id("webhook-disabled", endpoint.id, failing_since.isoformat())
    with suppress(ServiceError):  # the next failure tries again
        await writer.submit(Disable(endpoint.id, endpoint.account, endpoint.url, reason, event))
        await queue.disable(endpoint.id, reason)
        _LOG.warning("webhooks: %s is disabled: %s", endpoint.id, reason)
