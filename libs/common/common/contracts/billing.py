"""Billing's events besides usage. Each carries ids, decimal amounts, the balance after, and a sequence.

`sequence` is gap-free per account within the BILLING stream.
"""

import msgspec


class TransferPosted(msgspec.Struct, frozen=True, tag="billing.transfer.posted.v1", tag_field="type"):
    """One immutable double-entry transfer that touched the account (charges and holds: see their own events).

    `kind`: grant, topup, payment, redemption, payment_refund, payment_refund_reversed, chargeback,
    chargeback_reversed, debt_paid, allowance, allowance_expire, lease_grant, lease_return, lease_expire,
    correction. `debit`/`credit` name ledger accounts such as `wallet:<account>`, `held:<account>`, `promo`,
    `stripe_clearing`.
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


class PaymentCreated(msgspec.Struct, frozen=True, tag="billing.payment.created.v1", tag_field="type"):
    """Somebody is asked for money: `amount` in `currency`, worth `credits` USD of balance once it is paid."""

    id: str
    sequence: int
    account: str
    payment: str
    method: str
    amount: str
    currency: str
    credits: str


class PaymentSucceeded(msgspec.Struct, frozen=True, tag="billing.payment.succeeded.v1", tag_field="type"):
    """The money came and the wallet is credited, once; `balance` is the wallet's right after it."""

    id: str
    sequence: int
    account: str
    payment: str
    method: str
    amount: str
    currency: str
    credits: str
    balance: str


class PaymentFailed(msgspec.Struct, frozen=True, tag="billing.payment.failed.v1", tag_field="type"):
    """Nothing was credited. `final` unless the payer may try again.

    `reason`: expired, voided, async_payment_failed, payment_failed, refused, abandoned, amount_mismatch
    (Stripe says another amount or currency was paid: a person must look).
    """

    id: str
    sequence: int
    account: str
    payment: str
    method: str
    amount: str
    currency: str
    reason: str
    final: bool


class PaymentRefunded(msgspec.Struct, frozen=True, tag="billing.payment.refunded.v1", tag_field="type"):
    """A top-up goes back to the payer: `amount` in `currency`, `credits` USD of balance.

    `status`: pending (taken from the wallet, Stripe is asked), succeeded, failed (returned to the wallet).
    `uncollected` is what the wallet lacked and the account now owes.
    """

    id: str
    sequence: int
    account: str
    payment: str
    refund: str
    amount: str
    currency: str
    credits: str
    uncollected: str
    status: str
    balance: str


class PaymentDisputed(msgspec.Struct, frozen=True, tag="billing.payment.disputed.v1", tag_field="type"):
    """The payer's bank takes a payment back; fields as PaymentRefunded.

    `status`: opened (taken from the wallet), won (returned), lost (stays taken).
    """

    id: str
    sequence: int
    account: str
    payment: str
    dispute: str
    amount: str
    currency: str
    credits: str
    uncollected: str
    status: str
    balance: str


class BalanceThreshold(msgspec.Struct, frozen=True, tag="billing.balance.threshold.v1", tag_field="type"):
    """The account's money (wallet and held together) fell below the `threshold` its owner set.

    Told once for each time it falls below; `balance` and `held` are what was left.
    """

    id: str
    sequence: int
    account: str
    threshold: str
    balance: str
    held: str
    currency: str = "USD"


class WebhookDisabled(msgspec.Struct, frozen=True, tag="billing.webhook.disabled.v1", tag_field="type"):
    """A webhook endpoint gets nothing more until somebody enables it; its owner's account is `account`.

    `reason`: `gone` (it answered 410) or `failing` (no delivery has succeeded for days).
    """

    id: str
    sequence: int
    account: str
    webhook: str
    url: str
    reason: str


class HoldOpened(msgspec.Struct, frozen=True, tag="billing.hold.opened.v1", tag_field="type"):
    """Money was set aside, or more of it or for longer (`extended`); `amount` is all that is held now.

    The transfers of holds are told by the events of holds, each of which has the account's `balance` and
    `held` after it. `reference` is what the opener knows the hold by, `app` the OAuth client that acts.
    """

    id: str
    sequence: int
    account: str
    hold: str
    spender: str
    amount: str
    purpose: str
    reference: str
    app: str
    extended: bool
    balance: str
    held: str
    expires_at: str
    currency: str = "USD"


class HoldCaptured(msgspec.Struct, frozen=True, tag="billing.hold.captured.v1", tag_field="type"):
    """`amount` was taken and `released` went back. `credits` say which ledger account got how much.

    `free` is what of `amount` a free allowance paid. `at_once`: nothing was held before it, `amount` came
    straight out of the wallet, and there is no `billing.hold.opened.v1` of this hold.
    """

    id: str
    sequence: int
    account: str
    hold: str
    spender: str
    amount: str
    released: str
    free: str
    credits: dict[str, str]
    purpose: str
    reference: str
    app: str
    balance: str
    held: str
    currency: str = "USD"
    at_once: bool = False


class HoldVoided(msgspec.Struct, frozen=True, tag="billing.hold.voided.v1", tag_field="type"):
    """The whole of a hold, `released`, went back to the wallet."""

    id: str
    sequence: int
    account: str
    hold: str
    spender: str
    released: str
    purpose: str
    reference: str
    app: str
    balance: str
    held: str
    currency: str = "USD"


class HoldExpired(msgspec.Struct, frozen=True, tag="billing.hold.expired.v1", tag_field="type"):
    """Nobody resolved the hold in its time; all of it, `released`, went back to the wallet."""

    id: str
    sequence: int
    account: str
    hold: str
    spender: str
    released: str
    purpose: str
    reference: str
    app: str
    balance: str
    held: str
    currency: str = "USD"


class HoldRefunded(msgspec.Struct, frozen=True, tag="billing.hold.refunded.v1", tag_field="type"):
    """`amount` of a captured hold went back to the wallet, `refunded` in all. `id` is the refund's.

    `debits` say which ledger account gave how much; `free` came back as free allowance.
    """

    id: str
    sequence: int
    account: str
    hold: str
    spender: str
    amount: str
    refunded: str
    free: str
    debits: dict[str, str]
    reason: str
    purpose: str
    reference: str
    app: str
    balance: str
    held: str
    currency: str = "USD"


class ChargeRefunded(msgspec.Struct, frozen=True, tag="billing.charge.refunded.v1", tag_field="type"):
    """`amount` of what a usage record was charged went back to the wallet, `refunded` in all.

    `id` is the refund's. `free` came back as free allowance.
    """

    id: str
    sequence: int
    account: str
    record: str
    spender: str
    amount: str
    refunded: str
    free: str
    reason: str
    balance: str
    held: str
    currency: str = "USD"


class BudgetAlert(msgspec.Struct, frozen=True, tag="billing.budget.alert.v1", tag_field="type"):
    """A spender's used + held reached `percent` of its `limit`; told once per window."""

    id: str
    sequence: int
    account: str
    spender: str
    percent: int
    limit: str
    used: str
    held: str
    period: str
    timezone: str
    window_start: str
    currency: str = "USD"


class BudgetExhausted(msgspec.Struct, frozen=True, tag="billing.budget.exhausted.v1", tag_field="type"):
    """A reservation of `asked` was refused by the spender's budget; told once per window."""

    id: str
    sequence: int
    account: str
    spender: str
    asked: str
    limit: str
    used: str
    held: str
    period: str
    timezone: str
    window_start: str
    currency: str = "USD"


class MembershipChanged(msgspec.Struct, frozen=True, tag="billing.membership.changed.v1", tag_field="type"):
    """The account is a member of another plan, or until another time; `plan` is empty when of none.

    `since` and `until` are ISO 8601 in UTC, null without a plan. At `until` the membership is over, whether
    an event says so or not. `reason`: the kind of the transfer that made the difference, `expired`, `plans`.
    """

    id: str
    sequence: int
    account: str
    plan: str
    previous: str
    since: str | None
    until: str | None
    reason: str


BillingEvent = (
    TransferPosted
    | TopupCompleted
    | LeaseRecalled
    | BalanceLow
    | PaymentCreated
    | PaymentSucceeded
    | PaymentFailed
    | PaymentRefunded
    | PaymentDisputed
    | BalanceThreshold
    | WebhookDisabled
    | HoldOpened
    | HoldCaptured
    | HoldVoided
    | HoldExpired
    | HoldRefunded
    | ChargeRefunded
    | BudgetAlert
    | BudgetExhausted
    | MembershipChanged
)
