"""The books as one transaction holds them: loaded rows, and what the decisions made of them.

Operations are decided one after the other against the same `Books`, so every decision sees exactly what
those before it left. What an operation changed before it raised a ServiceError stays, as a refusal that is
remembered does; it raises any before it moves money.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import msgspec

from billing.domain.accounts import Account, Customer
from billing.domain.allowances import Allowances
from billing.domain.spenders import Spender
from common.contracts.billing import BalanceThreshold, BillingEvent, TransferPosted
from common.contracts.errors import ConflictError
from common.contracts.principals import SpenderKind
from common.contracts.streams import event_subject
from common.kit.ids import uuid7
from common.kit.money import format_usd
from common.kit.outbox import OutboxEvent

if TYPE_CHECKING:
    from billing.domain.holds import Hold
    from billing.domain.leases import Lease
    from billing.domain.refunds import Refunded, RefundedCharge
    from billing.domain.usage import Charge

_ENCODER = msgspec.json.Encoder()
PAYMENTS = frozenset(
    (
        "topup",
        "payment",
        "redemption",
        "payment_refund",
        "payment_refund_reversed",
        "chargeback",
        "chargeback_reversed",
    )
)
"""Kinds of transfers that make or unmake a membership: what people paid, and what they got back of it."""


class Transfer(msgspec.Struct, frozen=True, gc=False):
    """One immutable movement of `amount_nano` from `debit` to `credit`, with both balances after it.

    `reference` is the lease, usage record or operation that caused it; `customer` whose money it concerns.
    """

    id: str
    kind: str
    debit: int
    credit: int
    amount_nano: int
    debit_after: int
    credit_after: int
    reference: str
    customer: str


class PostedOperation(msgspec.Struct, frozen=True, gc=False):
    """An operation that was carried out: the same id with the same body gets `result` again.

    A `temporary` one may be forgotten when its caller has stopped asking long ago, without harm.
    """

    id: str
    fingerprint: bytes
    result: bytes
    temporary: bool = False


class Wanted(msgspec.Struct):
    """The rows a batch of operations needs; those that must exist are made when they are missing.

    `spenders` maps an id to (account, kind) as first mentioned, which is what a missing row becomes. The
    accounts and spenders of leases and holds, and the platform accounts that holds were captured for, come
    with them. `platform` are those whose balance is decided by, `counters` those that are only added to:
    their balance is unknown until all is decided, what the books have of it is what was added.
    `refunds` are usage records of which it is asked what was given back.
    """

    leases: set[str] = msgspec.field(default_factory=set)
    spenders: dict[str, tuple[str, SpenderKind]] = msgspec.field(default_factory=dict)
    customers: set[str] = msgspec.field(default_factory=set)
    platform: set[str] = msgspec.field(default_factory=set)
    counters: set[str] = msgspec.field(default_factory=set)
    holds: set[str] = msgspec.field(default_factory=set)
    usage: set[str] = msgspec.field(default_factory=set)
    refunds: set[str] = msgspec.field(default_factory=set)
    operations: set[str] = msgspec.field(default_factory=set)


@runtime_checkable
class Operation(Protocol):
    """One thing to decide. It is immutable, so that a batch can be decided again after a failed commit."""

    @property
    def size(self) -> int:
        """How much of a batch it fills; 1 for a call, the number of records for usage."""
        ...

    def want(self, wanted: Wanted) -> None:
        """Name the rows it needs."""
        ...

    def decide(self, books: Books) -> object:
        """Change the books and answer, or refuse by a ServiceError."""
        ...


class Books:
    """Everything loaded for one transaction, and the rows it will write. `now` is the ledger's clock.

    `reviews` maps customers whose membership may be another one now to the reason.
    """

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.accounts: dict[str, Account] = {}
        self.customers: dict[str, Customer] = {}
        self.spenders: dict[str, Spender] = {}
        self.leases: dict[str, Lease] = {}
        self.holds: dict[str, Hold] = {}
        self.refunded: dict[str, Refunded] = {}
        self.new_refunds: list[RefundedCharge] = []
        self.fresh_usage: set[str] = set()
        self.operations: dict[str, PostedOperation] = {}
        self.transfers: list[Transfer] = []
        self.charges: list[Charge] = []
        self.new_operations: list[PostedOperation] = []
        self.events: list[OutboxEvent] = []
        self.allowances: Allowances | None = None
        self.reviews: dict[str, str] = {}

    def result_of(self, id_: str, fingerprint: bytes) -> bytes | None:
        """What the operation answered when it was carried out, None when it was not.

        ConflictError when the id was used for another body.
        """
        posted = self.operations.get(id_)
        if posted is None:
            return None
        if posted.fingerprint != fingerprint:
            raise ConflictError("This id was used before with another body.")
        return posted.result

    def remember(self, id_: str, fingerprint: bytes, result: bytes, *, temporary: bool = False) -> None:
        """The operation is carried out: its repetition gets `result`."""
        row = PostedOperation(id_, fingerprint, result, temporary)
        self.operations[id_] = row
        self.new_operations.append(row)

    def transfer(
        self,
        kind: str,
        debit: Account,
        credit: Account,
        amount_nano: int,
        customer: Customer,
        reference: str,
        id_: str = "",
    ) -> Transfer:
        """Move money. A balance that may not go negative and would is a fault of the caller: ValueError."""
        if amount_nano <= 0 or (amount_nano > debit.balance and not debit.allow_negative):
            raise ValueError(f"{kind}: {amount_nano} does not fit {debit.name} ({debit.balance})")
        debit.debits += amount_nano
        credit.credits += amount_nano
        debit.changed = credit.changed = True
        row = Transfer(
            id_ or uuid7(),
            kind,
            debit.id,
            credit.id,
            amount_nano,
            debit.balance,
            credit.balance,
            reference,
            customer.id,
        )
        self.transfers.append(row)
        if kind in PAYMENTS:
            self.reviews[customer.id] = kind
        if customer.alert_nano is not None:
            self.watch(customer)
        return row

    def post(
        self,
        kind: str,
        debit: Account,
        credit: Account,
        amount_nano: int,
        customer: Customer,
        reference: str,
    ) -> Transfer:
        """A transfer that is told by its own event (charges are told by the usage event instead)."""
        row = self.transfer(kind, debit, credit, amount_nano, customer, reference)
        self.tell(
            customer,
            TransferPosted(
                id=row.id,
                sequence=customer.next_billing_sequence(),
                account=customer.id,
                kind=kind,
                debit=debit.name,
                credit=credit.name,
                amount=format_usd(amount_nano),
                balance=format_usd(customer.wallet.balance),
                held=format_usd(customer.held.balance),
                reference=reference,
                posted_at=_moment(self.now),
            ),
        )
        return row

    def move_on(self, now: datetime) -> None:
        """Others posted later than that meanwhile: what was decided here is posted at `now`, and told so."""
        said, true = (f'"posted_at":"{_moment(moment)}"'.encode() for moment in (self.now, now))
        self.now = now
        if said != true:
            self.events = [
                msgspec.structs.replace(event, payload=event.payload.replace(said, true))
                for event in self.events
            ]

    def tell(self, customer: Customer, event: BillingEvent) -> None:
        """Add one of billing's events to what the transaction will publish."""
        kind = str(type(event).__struct_config__.tag)
        subject = event_subject(kind, customer.id)
        self.events.append(OutboxEvent(event.id, subject, event.sequence, _ENCODER.encode(event)))

    def watch(self, customer: Customer) -> None:
        """Tell the balance alert once for each time the customer's money falls below its threshold.

        Held money counts, so that a lease going out and coming back is no crossing.
        """
        threshold = customer.alert_nano
        below = threshold is not None and customer.wallet.balance + customer.held.balance < threshold
        if below == customer.alerted:
            return
        customer.alerted = below
        customer.changed = True
        if threshold is not None and below:
            self.tell(
                customer,
                BalanceThreshold(
                    uuid7(),
                    customer.next_billing_sequence(),
                    customer.id,
                    format_usd(threshold),
                    format_usd(customer.wallet.balance),
                    format_usd(customer.held.balance),
                ),
            )


@lru_cache(8)
def _moment(now: datetime) -> str:
    return now.astimezone(UTC).isoformat(timespec="milliseconds")
