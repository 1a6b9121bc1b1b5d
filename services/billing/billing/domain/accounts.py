"""Ledger accounts, customers and spenders as one transaction sees them: loaded, changed, written back.

An account's balance is credits - debits in nano-USD. A customer (the account id of the principal) owns two
ledger accounts, `wallet:<id>` (what is theirs to spend) and `held:<id>` (what leases hold).
"""

from datetime import UTC, datetime

REVENUE = "revenue"
PROMO = "promo"
UNCOLLECTED = "uncollected"
STRIPE_CLEARING = "stripe_clearing"
FEES = "fees"
APP_PAYOUTS = "app_payouts"
"""What apps were paid outside of Tollway; made when it is first wanted, as `app_payable:<app>`."""
PLATFORM_ACCOUNTS = (REVENUE, PROMO, UNCOLLECTED, STRIPE_CLEARING, FEES)
"""Created by the first migration; all may go negative, the customers' may not. `app_payable:<app>` are of
the same kind and made when they are first wanted: a refund may take one below zero, a payout may not.
"""
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def wallet_name(customer: str) -> str:
    """The ledger name of a customer's spendable money."""
    return f"wallet:{customer}"


def held_name(customer: str) -> str:
    """The ledger name of a customer's money held by leases."""
    return f"held:{customer}"


class Account:
    """One ledger account. `debits` and `credits` only grow."""

    __slots__ = ("allow_negative", "changed", "credits", "debits", "id", "name")

    def __init__(self, id_: int, name: str, debits: int, credits_: int, *, allow_negative: bool) -> None:
        self.id = id_
        self.name = name
        self.debits = debits
        self.credits = credits_
        self.allow_negative = allow_negative
        self.changed = False

    @property
    def balance(self) -> int:
        """Nano-USD, credits - debits."""
        return self.credits - self.debits


class Customer:
    """The per-account counters: event sequences (last used), the `low` flag and the last recall.

    `free_nano` is how much of wallet + held is a free allowance: a label, 0 <= free_nano <= wallet + held.
    `debt_nano` is what a refund or chargeback found missing and `uncollected` paid in their place.
    `alert_nano` is the balance alert's threshold, `alerted` whether it was told since the money was above it.
    `holds_nano` is what of held is in open holds, `paid_holds_nano` in those that free money may not pay.
    `plan` is empty without a membership; the allowance's period is over at `allowance_until`.
    """

    __slots__ = (
        "alert_nano",
        "alerted",
        "allowance_until",
        "billing_sequence",
        "changed",
        "debt_nano",
        "free_nano",
        "held",
        "holds_nano",
        "id",
        "low",
        "paid_holds_nano",
        "plan",
        "plan_until",
        "recalled_at",
        "usage_sequence",
        "wallet",
    )

    def __init__(  # noqa: PLR0913  a row
        self,
        id_: str,
        wallet: Account,
        held: Account,
        usage_sequence: int,
        billing_sequence: int,
        *,
        low: bool,
        recalled_at: datetime | None,
        free_nano: int = 0,
        debt_nano: int = 0,
        plan: str = "",
        plan_until: datetime | None = None,
        allowance_until: datetime = LONG_AGO,
        alert_nano: int | None = None,
        alerted: bool = False,
        holds_nano: int = 0,
        paid_holds_nano: int = 0,
    ) -> None:
        self.id = id_
        self.wallet = wallet
        self.held = held
        self.usage_sequence = usage_sequence
        self.billing_sequence = billing_sequence
        self.low = low
        self.recalled_at = recalled_at
        self.free_nano = free_nano
        self.debt_nano = debt_nano
        self.plan = plan
        self.plan_until = plan_until
        self.allowance_until = allowance_until
        self.alert_nano = alert_nano
        self.alerted = alerted
        self.holds_nano = holds_nano
        self.paid_holds_nano = paid_holds_nano
        self.changed = False

    @property
    def paid_nano(self) -> int:
        """What of wallet + held is neither a free allowance nor promised to holds that only paid money pays.

        Not below zero: free money is spent first, so that what is left covers what is promised.
        """
        return self.wallet.balance + self.held.balance - self.free_nano - self.paid_holds_nano

    @property
    def leased_nano(self) -> int:
        """What of held is in leases."""
        return self.held.balance - self.holds_nano

    def spend_free(self, amount_nano: int) -> int:
        """What of `amount_nano`, just charged to wallet or held, the allowance paid for."""
        free = min(self.free_nano, amount_nano)
        if free:
            self.free_nano -= free
            self.changed = True
        return free

    def next_billing_sequence(self) -> int:
        """The sequence of the next event of this account in the BILLING stream; gap-free."""
        self.billing_sequence += 1
        self.changed = True
        return self.billing_sequence

    def next_usage_sequence(self) -> int:
        """The sequence of the next event of this account in the USAGE stream; gap-free."""
        self.usage_sequence += 1
        self.changed = True
        return self.usage_sequence
