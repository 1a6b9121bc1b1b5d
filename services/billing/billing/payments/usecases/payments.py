"""Take a payment: row, Stripe, credit; each step is repeated safely by whoever finds it undone.

No call to Stripe is made inside a transaction. The row is written first, what Stripe makes is named by the
row's id, and the ledger's operation by Stripe's object: so nothing is made or credited twice.
"""

import logging
from datetime import datetime, timedelta

from billing.domain.leases import is_uuid
from billing.domain.ports import Clock, Writer
from billing.payments.domain.errors import PaymentRefusedError
from billing.payments.domain.payments import REASONS, CreditPayment, Fact, Payment, Status, created, failed
from billing.payments.domain.ports import Cashier, PaymentStore
from common.contracts.errors import ConflictError, NotFoundError, ServiceError

_LOG = logging.getLogger(__name__)

CREATING_CHECK = timedelta(seconds=30)
"""How long a request may take before the sweeper goes on with it."""
ABANDONED = timedelta(hours=23)
"""Stripe keeps idempotency keys 24 hours; after that the same key might make a second object."""
FIRST_LOOK = timedelta(minutes=10)
LONGEST_LOOK = timedelta(hours=6)
_BATCH = 20
_ENDS: dict[str, Status] = {"failed": "failed", "expired": "expired", "voided": "voided"}


class Payments:
    """Payments of all accounts."""

    def __init__(self, store: PaymentStore, cashier: Cashier, writer: Writer, clock: Clock) -> None:
        self._store = store
        self._cashier = cashier
        self._writer = writer
        self._clock = clock

    async def create(self, wish: Payment) -> Payment:
        """The payment, open, with the page to pay at; again the same for the same id.

        ConflictError for the same id with other words, PaymentRefusedError, UnavailableError (repeat with the
        same id).
        """
        payment = await self._store.add(wish, self._clock() + CREATING_CHECK)
        if not payment.same_wish(wish):
            raise ConflictError("This idempotency key was used before with another body.")
        return await self._place(payment) if payment.status == "creating" else payment

    async def read(self, payment: str, account: str | None) -> Payment:
        """One payment, of that account if one is named; NotFoundError."""
        found = await self._store.find(payment) if is_uuid(payment) else None
        if found is None or account not in (None, found.account):
            raise NotFoundError("There is no such payment.")
        return found

    async def list_newest(self, account: str | None, before: int, limit: int) -> list[Payment]:
        """The account's payments, or everybody's, newest first."""
        return await self._store.list_newest(account, before, limit)

    async def settle(self, fact: Fact) -> None:
        """Do what Stripe's object asks for, once, in whatever order its facts come; others' are let be."""
        payment = await self._store.find_object(fact.object)
        if payment is None and is_uuid(fact.payment):
            payment = await self._store.find(fact.payment)
        if payment is not None:
            await self._apply(payment, fact)

    async def credited(self, payment: Payment) -> Payment:
        """The payment after Stripe was asked whether it is paid."""
        await self._apply(payment, await self._cashier.look(payment))
        return await self.read(payment.id, None)

    async def sweep(self) -> None:
        """Finish what a crash left half made, and ask Stripe about what nobody told us of."""
        now = self._clock()
        for payment in await self._store.claim_due(now, now + FIRST_LOOK, _BATCH):
            try:
                await self._resume(payment, now)
            except ServiceError as error:
                _LOG.warning("payment %s: looked at again later: %s", payment.id, error.message)

    async def _place(self, payment: Payment) -> Payment:
        if self._clock() - payment.created_at > ABANDONED:
            await self._end(payment, "failed", "abandoned", "Stripe never answered.")
            return await self.read(payment.id, None)
        await self._writer.submit(created(payment))
        try:
            placed = await self._cashier.place(payment)
        except PaymentRefusedError as error:
            await self._end(payment, "failed", "refused", error.message)
            raise
        now = self._clock()
        return await self._store.open(payment.id, placed, now, now + FIRST_LOOK)

    async def _resume(self, payment: Payment, now: datetime) -> None:
        if payment.status == "creating":
            await self._place(payment)
            return
        await self._apply(payment, await self._cashier.look(payment))
        age = now - payment.created_at
        await self._store.check_at(payment.id, now + max(FIRST_LOOK, min(LONGEST_LOOK, age / 4)))

    async def _apply(self, payment: Payment, fact: Fact) -> None:
        if payment.status == "succeeded":
            return
        if fact.outcome == "paid":
            await self._credit(payment, fact)
        elif fact.outcome == "processing":
            await self._store.advance(payment.id, "processing", "", self._clock())
        elif fact.outcome == "declined":
            await self._writer.submit(failed(payment, REASONS[fact.outcome], final=False))
        elif fact.outcome in _ENDS:
            await self._end(payment, _ENDS[fact.outcome], REASONS[fact.outcome], "")

    async def _credit(self, payment: Payment, fact: Fact) -> None:
        if not fact.is_for(payment):
            _LOG.error(
                "audit: payment %s is not credited: %s says %d %s, expected %d %s for %s",
                payment.id,
                fact.object,
                fact.amount_minor,
                fact.currency,
                payment.amount_minor,
                payment.currency,
                payment.stripe_object,
            )
            told = f"{fact.object}: {fact.amount_minor} {fact.currency} (smallest unit) were paid"
            await self._end(payment, "mismatched", "amount_mismatch", told)
            return
        await self._writer.submit(CreditPayment(payment, fact.object))
        await self._store.succeed(payment.id, fact, self._clock())

    async def _end(self, payment: Payment, status: Status, reason: str, failure: str) -> None:
        if payment.status != status:
            await self._writer.submit(failed(payment, reason))
            await self._store.advance(payment.id, status, failure or reason, self._clock())
