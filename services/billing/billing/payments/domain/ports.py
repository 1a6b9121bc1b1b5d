"""What payments need from the outside."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

import msgspec

from billing.payments.domain.codes import Batch, Claim, Code, Found
from billing.payments.domain.payments import Fact, Payment, Status
from billing.payments.domain.recharge import Ratio
from billing.payments.domain.reversals import Reversal, ReversalFact
from billing.payments.domain.reversals import Status as ReversalStatus


class Placed(msgspec.Struct, frozen=True):
    """What Stripe made for a payment: its id and the page to pay at."""

    object: str
    url: str


class WebhookEvent(msgspec.Struct, frozen=True):
    """An event whose signature was verified; `object` is what it is about."""

    id: str
    type: str
    object: dict[str, Any]


@runtime_checkable
class Cashier(Protocol):
    """Stripe. UnavailableError from any method: the outcome is unknown, ask again with the same ids."""

    def read_event(self, body: bytes, signature: str) -> WebhookEvent:
        """Verify and read; BadSignatureError, UnsupportedEventError."""
        ...

    async def place(self, payment: Payment) -> Placed:
        """Make what is to be paid, once per payment id; PaymentRefusedError when it can never be."""
        ...

    async def look(self, payment: Payment) -> Fact:
        """What Stripe says of the payment's object now."""
        ...

    async def object_of(self, intent: str) -> str | None:
        """The session or invoice that a payment intent paid."""
        ...

    async def intent_of(self, payment: Payment) -> str | None:
        """The payment intent that paid the payment's object."""
        ...

    async def reversals(self, intent: str) -> list[ReversalFact]:
        """Every refund and dispute of what the intent paid, oldest first."""
        ...

    async def refund(self, intent: str, reversal: Reversal) -> str:
        """Ask for a refund, once per reversal id; its id at Stripe. PaymentRefusedError."""
        ...


@runtime_checkable
class PaymentStore(Protocol):
    """Payments and their reversals, in the database."""

    async def add(self, payment: Payment, next_check_at: datetime) -> Payment:
        """Keep a new payment; the stored one when the id is known."""
        ...

    async def find(self, payment: str) -> Payment | None:
        """By id."""
        ...

    async def find_object(self, object_: str) -> Payment | None:
        """By the session or invoice."""
        ...

    async def find_intent(self, intent: str) -> Payment | None:
        """By the payment intent, when it is known already."""
        ...

    async def list_newest(self, account: str | None, before: int, limit: int) -> list[Payment]:
        """The account's payments, or everybody's, with a position below `before`, newest first."""
        ...

    async def open(self, payment: str, placed: Placed, now: datetime, next_check_at: datetime) -> Payment:
        """From creating to open; the payment as it is then."""
        ...

    async def advance(self, payment: str, status: Status, failure: str, now: datetime) -> None:
        """Change the status unless it is succeeded."""
        ...

    async def succeed(self, payment: str, fact: Fact, now: datetime) -> None:
        """The payment is credited for the fact's object."""
        ...

    async def name_intent(self, payment: str, intent: str) -> None:
        """Remember what paid it."""
        ...

    async def claim_due(self, now: datetime, next_check_at: datetime, limit: int) -> list[Payment]:
        """Unfinished payments whose time has come, moved on to `next_check_at`."""
        ...

    async def check_at(self, payment: str, next_check_at: datetime) -> None:
        """When to look again."""
        ...


@runtime_checkable
class ReversalStore(Protocol):
    """Refunds and chargebacks, in the database."""

    async def reserve(self, reversal: Reversal, next_check_at: datetime, *, clip: bool) -> Reversal | None:
        """Keep a new reversal, its share of the credit counted on the payment; the stored one when known.

        None when the payment has not that much left; with `clip` it is then what is left.
        """
        ...

    async def find(self, reversal: str, object_: str) -> Reversal | None:
        """By id, or by the refund or dispute at Stripe."""
        ...

    async def list_of(self, payment: str) -> list[Reversal]:
        """Those of a payment, oldest first."""
        ...

    async def take(self, reversal: Reversal, uncollected_nano: int, next_check_at: datetime) -> None:
        """From taking to pending or open."""
        ...

    async def name_object(self, reversal: str, object_: str) -> None:
        """Remember its id at Stripe."""
        ...

    async def settle(self, reversal: Reversal, status: ReversalStatus, now: datetime) -> None:
        """Reach an end; what returns is counted off the payment, once."""
        ...

    async def claim_due(self, now: datetime, next_check_at: datetime, limit: int) -> list[Reversal]:
        """Unfinished reversals whose time has come, moved on to `next_check_at`."""
        ...


@runtime_checkable
class RatioStore(Protocol):
    """Recharge ratios."""

    async def list_all(self) -> list[Ratio]:
        """All, by currency."""
        ...

    async def find(self, currency: str) -> Ratio | None:
        """That of a currency."""
        ...

    async def put(self, ratio: Ratio) -> None:
        """Make it the currency's ratio."""
        ...

    async def remove(self, currency: str) -> bool:
        """Whether there was one."""
        ...


@runtime_checkable
class CodeStore(Protocol):
    """Redemption codes."""

    async def add(self, batch: Batch, hashes: Sequence[bytes], prefixes: Sequence[str]) -> None:
        """Keep a batch."""
        ...

    async def find_batch(self, batch: str) -> Batch | None:
        """By id, with the number of codes redeemed."""
        ...

    async def list_batches(self, before: int, limit: int) -> list[Batch]:
        """Newest first, position below `before`."""
        ...

    async def list_codes(self, batch: str, after: int, limit: int) -> list[Code]:
        """In the order they were made, position above `after`."""
        ...

    async def revoke(self, batch: str, now: datetime) -> bool:
        """Whether there is such a batch; no code of it is won from now on."""
        ...

    async def claim(self, hash_: bytes, account: str, redemption: str, now: datetime) -> Claim | None:
        """Win the code, in one conditional statement; None when it cannot be, see `look`."""
        ...

    async def look(self, hash_: bytes, now: datetime) -> tuple[Claim | None, Found | None]:
        """Who won it, if anybody, and what it is; (None, None) when there is no such code."""
        ...

    async def credited(self, hash_: bytes) -> None:
        """The winner has the money."""
        ...

    async def uncredited(self, before: datetime, limit: int) -> list[Claim]:
        """Codes won before that time whose winner has nothing yet."""
        ...

    async def failures(self, account: str, since: datetime) -> tuple[int, datetime | None]:
        """Wrong codes of the account in its window, and when it began, if that is after `since`."""
        ...

    async def count_failure(self, account: str, now: datetime, since: datetime) -> None:
        """One more; a window that began before `since` begins anew."""
        ...
