"""What charges need from the outside."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable

from common.contracts.holds import HoldCharge, HoldState
from common.contracts.rpc import Method, RequestT, ResponseT
from common.webhooks.signatures import Secret
from oauth.charges.domain.charges import Charge, ChargeQuery, Settlement, State
from oauth.charges.domain.payouts import Payout, PayoutStatus
from oauth.charges.domain.refunds import Refund
from oauth.charges.domain.statements import Entry
from oauth.charges.domain.topups import TopupOrder
from oauth.charges.domain.webhooks import Delivery, Webhook


@runtime_checkable
class Ledger(Protocol):
    """Billing."""

    async def call(self, method: Method[RequestT, ResponseT], request: RequestT) -> ResponseT:
        """Its answer, or its ServiceError; after 503 or 504 nobody knows: ask again by the same ids."""
        ...


@runtime_checkable
class ChargeLedger(Ledger, Protocol):
    """Billing, for many charges at once."""

    async def charge(self, request: HoldCharge) -> HoldState:
        """As `call` of HOLD_CHARGE."""
        ...


@runtime_checkable
class ChargeStore(Protocol):
    """Charges, each method in a transaction of its own. UnavailableError when storage is away."""

    async def add(self, charges: Sequence[Charge]) -> Sequence[bool]:
        """Keep new ones; False where the grant has used the key before."""
        ...

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[Charge]:
        """Store what was decided, once, with its events, the app's webhook and its statement.

        The answer is each charge as it is then, whoever settled it.
        """
        ...

    async def find(self, charge: str) -> Charge | None:
        """By id."""
        ...

    async def find_key(self, grant: str, key: str) -> Charge | None:
        """By the Idempotency-Key of a grant."""
        ...

    async def claim(
        self, charge: str, before: State, after: State, captured_nano: int, now: datetime
    ) -> Charge | None:
        """Begin to decide, or go on with what was not heard of in time: one of many gets it."""
        ...

    async def claim_due(self, now: datetime, limit: int) -> list[Charge]:
        """Charges somebody must look at, among them what is held under a grant that ended, claimed."""
        ...

    async def list_page(self, query: ChargeQuery) -> list[Charge]:
        """Newest first."""
        ...


@runtime_checkable
class RefundStore(Protocol):
    """Refunds, each method in a transaction of its own."""

    async def add(self, refund: Refund, asked_nano: int | None) -> Refund:
        """Keep a new one, its amount set aside on the charge, or the stored one of the same key.

        InvalidStateError when nothing was captured, ExceedsCaptureError when less is left.
        """
        ...

    async def settle(self, refund: Refund, fee_nano: int | None) -> Refund:
        """It was made, `fee_nano` of it the platform's, or refused (None). Once, with its event."""
        ...

    async def claim(self, refund: str, now: datetime) -> Refund | None:
        """Go on with one that was not heard of in time."""
        ...

    async def claim_due(self, now: datetime, limit: int) -> list[Refund]:
        """Those that were not heard of in time, claimed."""
        ...

    async def list_of(self, charge: str) -> list[Refund]:
        """The charge's, in the order they were made."""
        ...


@runtime_checkable
class TopupStore(Protocol):
    """Whose orders there are."""

    async def add(self, order: TopupOrder) -> None:
        """Keep it; the same id is the same order."""
        ...

    async def find(self, order: str) -> TopupOrder | None:
        """By id."""
        ...


@runtime_checkable
class PayoutStore(Protocol):
    """Payouts, each method in a transaction of its own."""

    async def add(self, payout: Payout) -> Payout:
        """Keep a new one, or the stored one of the same key."""
        ...

    async def claim(self, payout: str, now: datetime) -> bool:
        """Go on with one that was not heard of in time; one of many gets it."""
        ...

    async def claim_due(self, now: datetime, limit: int) -> list[Payout]:
        """Those that were not heard of in time, claimed."""
        ...

    async def settle(self, payout: Payout, state: PayoutStatus, now: datetime) -> Payout:
        """It was paid, with its line in the statement, or refused; once."""
        ...


@runtime_checkable
class StatementReader(Protocol):
    """The statements of apps."""

    async def list_page(self, app: str, after: int, limit: int) -> list[Entry]:
        """Up to `limit` lines behind a position, oldest first."""
        ...


@runtime_checkable
class WebhookStore(Protocol):
    """The apps' webhooks, their secrets sealed."""

    async def put(self, webhook: Webhook, secret: Secret) -> bool:
        """Keep it; True when the app had none, and `secret` is its secret. Enabling forgets its failures."""
        ...

    async def find(self, app: str) -> Webhook | None:
        """The app's."""
        ...

    async def secrets(self, app: str) -> list[Secret]:
        """Its secrets, the newest first; NotFoundError when there is none."""
        ...

    async def change_secrets(self, app: str, secrets: Sequence[Secret]) -> None:
        """Its secrets."""
        ...

    async def remove(self, app: str) -> None:
        """The webhook and its deliveries."""
        ...

    async def disable(self, app: str, reason: str) -> None:
        """Send nothing more there."""
        ...


@runtime_checkable
class DeliveryLog(Protocol):
    """What was sent to an app, or is to be."""

    async def list_page(self, app: str, before: int, limit: int) -> list[Delivery]:
        """Deliveries with a number below `before`, newest first."""
        ...

    async def again(self, app: str, delivery: int, now: datetime) -> bool:
        """Deliver it once more from the first attempt; False when there is no such delivery."""
        ...
