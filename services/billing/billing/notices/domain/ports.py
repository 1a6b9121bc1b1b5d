"""What notices needs from the outside."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable

from billing.notices.domain.deliveries import Delivery, Due
from billing.notices.domain.events import EventStream, Head, Page, StoredEvent
from billing.notices.domain.webhooks import Endpoint
from common.webhooks.attempts import Outcome
from common.webhooks.signatures import Secret


@runtime_checkable
class EventLog(Protocol):
    """Every event of billing that is still kept."""

    async def of_account(
        self, stream: EventStream, account: str, after: int, limit: int
    ) -> list[StoredEvent]:
        """The account's events with a sequence above `after`, in order, gaps and all."""
        ...

    async def of_all(self, stream: EventStream, after: int, limit: int) -> Page:
        """Everybody's events behind position `after`, in one order that no later commit changes.

        Whole transactions: somewhat more than `limit` when the last one does not fit.
        """
        ...

    async def heads(self, account: str | None, after: str, limit: int) -> list[Head]:
        """The account's head, or those of the accounts behind `after` by id."""
        ...

    async def prune(self, before: datetime) -> None:
        """Drop the months of the log that ended before `before`."""
        ...


@runtime_checkable
class AlertReader(Protocol):
    """The balance alerts that are set."""

    async def read(self, account: str) -> int | None:
        """The account's threshold in nano-USD."""
        ...


@runtime_checkable
class EndpointStore(Protocol):
    """The registered endpoints and their secrets."""

    async def add(self, endpoint: Endpoint, secrets: Sequence[Secret], limit: int) -> bool:
        """Keep it; False when its account has `limit` already."""
        ...

    async def page(self, account: str | None, after: str, limit: int) -> list[Endpoint]:
        """The account's endpoints, or everybody's, behind `after` by id."""
        ...

    async def find(self, id_: str) -> Endpoint | None:
        """One."""
        ...

    async def secrets(self, id_: str) -> list[Secret]:
        """Its secrets, the newest first; NotFoundError when it is gone."""
        ...

    async def change(self, endpoint: Endpoint) -> None:
        """Its URL, events, description and whether it is enabled; enabling forgets its failures."""
        ...

    async def change_secrets(self, id_: str, secrets: Sequence[Secret]) -> None:
        """Its secrets."""
        ...

    async def remove(self, id_: str) -> None:
        """The endpoint and its deliveries."""
        ...


@runtime_checkable
class DeliveryQueue(Protocol):
    """What is to be delivered, shared by all replicas."""

    async def fan_out(self, now: datetime) -> int:
        """Make deliveries of the events that were committed since the last call, each exactly once."""
        ...

    async def claim(self, now: datetime, limit: int) -> list[Due]:
        """Up to `limit` deliveries that are due, oldest first at each endpoint and a few of each."""
        ...

    async def settle(self, due: Due, outcome: Outcome, now: datetime) -> datetime | None:
        """Keep the outcome, unless the lease was lost; the answer is since when the endpoint fails, if so."""
        ...

    async def disable(self, endpoint: str, reason: str) -> None:
        """Send nothing more there."""
        ...

    async def page(self, endpoint: str, before: int, limit: int) -> list[Delivery]:
        """The endpoint's deliveries with a number below `before`, newest first."""
        ...

    async def again(self, endpoint: str, id_: str, now: datetime) -> bool:
        """Deliver it once more from the first attempt; False when there is no such delivery."""
        ...

    async def prune(self, before: datetime) -> None:
        """Forget what was finished before `before`."""
        ...
