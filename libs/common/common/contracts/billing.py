"""Billing's events besides usage. Each carries ids, decimal amounts, the balance after, and a sequence.

`sequence` is gap-free per account within the BILLING stream.
"""

import msgspec


class TransferPosted(msgspec.Struct, frozen=True, tag="billing.transfer.posted.v1", tag_field="type"):
    """One immutable double-entry transfer that touched the account (usage charges: see UsageRecorded).

    `kind`: grant, topup, lease_grant, lease_return, lease_expire, correction. `debit`/`credit` name ledger
    accounts such as `wallet:<account>`, `held:<account>`, `promo`.
    """

    id: str
    sequence: int
    account: str
    kind: str
    debit: str
    credit: str
    amount: str
    balance: str
    held: str
    reference: str
    posted_at: str
    currency: str = "USD"


class TopupCompleted(msgspec.Struct, frozen=True, tag="billing.topup.completed.v1", tag_field="type"):
    """Money came in: an admin grant, a redemption or a payment; credited once per `id`."""

    id: str
    sequence: int
    account: str
    amount: str
    source: str
    balance: str
    currency: str = "USD"


class LeaseRecalled(msgspec.Struct, frozen=True, tag="billing.lease.recalled.v1", tag_field="type"):
    """Replicas holding a lease of this account are asked to return what is idle now."""

    id: str
    sequence: int
    account: str


class BalanceLow(msgspec.Struct, frozen=True, tag="billing.balance.low.v1", tag_field="type"):
    """A reservation was refused for lack of money; `available` is what was left."""

    id: str
    sequence: int
    account: str
    available: str
    currency: str = "USD"


BillingEvent = TransferPosted | TopupCompleted | LeaseRecalled | BalanceLow
