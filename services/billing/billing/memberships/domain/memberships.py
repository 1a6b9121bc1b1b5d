"""Who is a member of what: a function of the account's payments, the plans and the time, and of nothing else.

A run of payments that together reach a rule's amount gives the plan from the first of them. So 20 paid once
give a month; when that is over, another 20 make 40 in six months, which give the rest of six months counted
from the first 20. A payment belongs to every run it lies in, so paying more never shortens a membership.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from billing.domain.accounts import LONG_AGO, Customer
from billing.domain.books import Books, Wanted
from billing.memberships.domain.plans import Plan, Rule
from common.contracts.billing import MembershipChanged
from common.kit.ids import uuid7

_PAID = frozenset(("topup", "payment", "redemption"))
_TAKEN = frozenset(("payment_refund", "chargeback"))


class Posting(NamedTuple):
    """A transfer of one of billing.domain.books.PAYMENTS, as it was posted."""

    kind: str
    amount_nano: int
    reference: str
    at: datetime


class Payment(msgspec.Struct):
    """What is left of a payment after what was taken back; `taken_nano` is the rest of it."""

    at: datetime
    amount_nano: int
    reference: str = ""
    taken_nano: int = 0


class Membership(msgspec.Struct, frozen=True):
    """The plan an account paid for, until `until`; the empty plan, without times, is none.

    `since` is the first payment of the runs that follow one another without a gap.
    """

    plan: str = ""
    since: datetime | None = None
    until: datetime | None = None


def payments_of(postings: Iterable[Posting]) -> list[Payment]:
    """What was paid and kept, oldest first.

    A refund or chargeback that refers to a payment takes from that one, any other from the newest; what is
    returned after all goes back to where it was taken last.
    """
    payments: list[Payment] = []
    for posting in sorted(postings, key=lambda posting: posting.at):
        if posting.kind in _PAID:
            payments.append(Payment(posting.at, posting.amount_nano, posting.reference))
            continue
        named = [payment for payment in payments if payment.reference == posting.reference]
        left = posting.amount_nano
        for payment in reversed(named or payments):
            if posting.kind in _TAKEN:
                moved = min(left, payment.amount_nano)
            else:
                moved = -min(left, payment.taken_nano)
            payment.amount_nano -= moved
            payment.taken_nano += moved
            left -= abs(moved)
    return [payment for payment in payments if payment.amount_nano]


def membership(payments: Sequence[Payment], plans: Sequence[Plan], now: datetime) -> Membership:
    """The highest plan that `payments` (oldest first) reach at `now`; `plans` come highest first."""
    for plan in plans:
        spans = sorted(span for rule in plan.rules for span in _runs(payments, rule))
        since = until = LONG_AGO
        for start, end in spans:
            since = start if start > until else since
            until = max(until, end)
        if until > now:
            return Membership(plan.name, since, until)
    return Membership()


def _runs(payments: Sequence[Payment], rule: Rule) -> Iterator[tuple[datetime, datetime]]:
    """From when to when each run that reaches the rule gives its plan; each payment is looked at twice."""
    end = total = 0
    for first in payments:
        limit = rule.within.after(first.at)
        while end < len(payments) and payments[end].at < limit:
            total += payments[end].amount_nano
            end += 1
        if total >= rule.amount_nano:
            yield first.at, rule.gives.after(first.at)
        total -= first.amount_nano


class ReviewMemberships(msgspec.Struct, frozen=True):
    """Look at the accounts' memberships again, for `reason`; decided to their number."""

    accounts: tuple[str, ...]
    reason: str

    @property
    def size(self) -> int:
        """One per account."""
        return len(self.accounts)

    def want(self, wanted: Wanted) -> None:
        """The accounts."""
        wanted.customers.update(self.accounts)

    def decide(self, books: Books) -> int:
        """Leave them to the review that ends the transaction."""
        for account in self.accounts:
            books.reviews.setdefault(account, self.reason)
        return len(self.accounts)


def tell_change(books: Books, customer: Customer, previous: Membership, now_is: Membership) -> bool:
    """Publish what changed, and let the allowance of a new plan begin; False when nothing did."""
    if now_is == previous:
        return False
    if (now_is.plan, now_is.until) != (previous.plan, previous.until):
        event = MembershipChanged(
            id=uuid7(),
            sequence=customer.next_billing_sequence(),
            account=customer.id,
            plan=now_is.plan,
            previous=previous.plan,
            since=time_text(now_is.since),
            until=time_text(now_is.until),
            reason=books.reviews[customer.id],
        )
        books.tell(customer, event)
    if now_is.plan != previous.plan:
        customer.allowance_until = LONG_AGO
        customer.changed = True
    return True


def time_text(moment: datetime | None) -> str | None:
    """ISO 8601 in UTC, to the microsecond the membership ends at."""
    return None if moment is None else moment.astimezone(UTC).isoformat()
