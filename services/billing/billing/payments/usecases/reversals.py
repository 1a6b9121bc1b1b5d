"""Give a payment back: an admin's refund, and what Stripe tells of refunds and disputes.

Row first, then the ledger, then Stripe. What Stripe says is asked of Stripe, whatever event came, so that
neither order nor repetition matters; each reversal moves forward only.
"""

import logging
from datetime import datetime, timedelta

import msgspec

from billing.domain.ports import Clock, Writer
from billing.payments.domain.errors import NotCreditedError, PaymentRefusedError
from billing.payments.domain.payments import Payment
from billing.payments.domain.ports import Cashier, PaymentStore, ReversalStore
from billing.payments.domain.reversals import (
    CONFIRMED,
    RETURNED,
    TAKEN,
    GiveBack,
    Reversal,
    ReversalFact,
    TakeBack,
    Taken,
    TellReversal,
)
from billing.payments.usecases.payments import Payments
from common.contracts.errors import ConflictError, InsufficientQuotaError, ServiceError, UnavailableError
from common.kit.ids import named_id

_LOG = logging.getLogger(__name__)

FIRST_CHECK = timedelta(seconds=30)
NEXT_CHECK = timedelta(hours=1)
_BATCH = 20


class Reversals:
    """Refunds and chargebacks of all payments."""

    def __init__(
        self,
        payments: Payments,
        store: PaymentStore,
        reversals: ReversalStore,
        cashier: Cashier,
        writer: Writer,
        clock: Clock,
    ) -> None:
        self._payments = payments
        self._store = store
        self._reversals = reversals
        self._cashier = cashier
        self._writer = writer
        self._clock = clock

    async def request(self, payment: Payment, wish: Reversal) -> Reversal:
        """Refund a payment or a part of it; again the same for the same id.

        The money leaves the wallet before Stripe is asked. NotCreditedError, ConflictError (more than is
        left, or the id meant another amount), InsufficientQuotaError (the wallet lacks it),
        PaymentRefusedError (Stripe will not; the wallet has it again). When Stripe cannot be asked now the
        sweeper goes on.
        """
        if payment.status != "succeeded":
            raise NotCreditedError("Nothing of this payment was credited.")
        reversal = await self._reversals.reserve(wish, self._clock() + FIRST_CHECK, clip=False)
        if reversal is None:
            raise ConflictError("More than is left of the payment.", param="amount")
        if (reversal.payment, reversal.amount_minor) != (payment.id, wish.amount_minor):
            raise ConflictError("This idempotency key was used before with another body.")
        try:
            await self._finish(payment, reversal)
        except UnavailableError as error:
            _LOG.warning("refund %s: Stripe is asked again later: %s", reversal.id, error.message)
        return await self._read(reversal)

    async def list_of(self, payment: Payment) -> list[Reversal]:
        """Those of a payment, oldest first."""
        return await self._reversals.list_of(payment.id)

    async def follow(self, intent: str) -> bool:
        """Do what Stripe says now of all that goes back of an intent; False when it paid nothing of ours.

        UnavailableError when the payment is not credited yet, or Stripe cannot be asked.
        """
        payment = await self._payment_of(intent)
        if payment is None or payment.status == "mismatched":
            return False
        if payment.status != "succeeded":
            payment = await self._payments.credited(payment)
            if payment.status != "succeeded":
                raise UnavailableError("The payment is not credited yet.", retry_after_s=60)
        if payment.stripe_intent is None:
            await self._store.name_intent(payment.id, intent)
        for fact in await self._cashier.reversals(intent):
            await self._apply(payment.id, fact)
        return True

    async def sweep(self) -> None:
        """Finish what a crash left, and ask Stripe about what nobody told us of."""
        now = self._clock()
        for reversal in await self._reversals.claim_due(now, now + NEXT_CHECK, _BATCH):
            try:
                await self._finish(await self._payments.read(reversal.payment, None), reversal)
            except ServiceError as error:
                _LOG.warning("reversal %s: looked at again later: %s", reversal.id, error.message)

    async def _finish(self, payment: Payment, reversal: Reversal) -> None:
        if reversal.status == "taking":
            reversal = await self._take(payment, reversal)
        if not reversal.is_settled and self._clock() - reversal.created_at >= FIRST_CHECK:
            # What Stripe has done already is seen first: its idempotency keys live no longer than a day.
            await self.follow(await self._intent_of(payment))
            reversal = await self._read(reversal)
        if reversal.status == "pending" and reversal.stripe_object is None:
            await self._ask(payment, reversal)

    async def _payment_of(self, intent: str) -> Payment | None:
        payment = await self._store.find_intent(intent)
        if payment is None:
            object_ = await self._cashier.object_of(intent)
            payment = await self._store.find_object(object_) if object_ else None
        return payment

    async def _intent_of(self, payment: Payment) -> str:
        intent = payment.stripe_intent or await self._cashier.intent_of(payment)
        if not intent:
            raise PaymentRefusedError("Stripe took no money for this payment: it was paid elsewhere.")
        if payment.stripe_intent is None:
            await self._store.name_intent(payment.id, intent)
        return intent

    async def _take(self, payment: Payment, reversal: Reversal) -> Reversal:
        try:
            taken: Taken = await self._writer.submit(TakeBack(payment, reversal))
        except InsufficientQuotaError:
            await self._reversals.settle(reversal, "refused", self._clock())
            raise
        await self._reversals.take(reversal, taken.uncollected_nano, self._clock() + FIRST_CHECK)
        return msgspec.structs.replace(
            reversal, status=TAKEN[reversal.kind], uncollected_nano=taken.uncollected_nano
        )

    async def _ask(self, payment: Payment, reversal: Reversal) -> None:
        try:
            intent = await self._intent_of(payment)
            object_ = await self._cashier.refund(intent, reversal)
        except PaymentRefusedError:
            await self._give_back(payment, reversal)
            raise
        await self._reversals.name_object(reversal.id, object_)

    async def _give_back(self, payment: Payment, reversal: Reversal) -> None:
        if reversal.amount_nano:
            await self._writer.submit(GiveBack(payment, reversal))
        await self._reversals.settle(reversal, RETURNED[reversal.kind], self._clock())

    async def _apply(self, payment_id: str, fact: ReversalFact) -> None:
        if fact.outcome == "none":
            return
        payment = await self._payments.read(payment_id, None)  # each reversal changes what is left of it
        reversal = await self._reversals.find(fact.ours, fact.object)
        if reversal is None:
            if fact.outcome == "returned":
                return
            new = _told(payment, fact, self._clock())
            reversal = await self._reversals.reserve(new, self._clock() + FIRST_CHECK, clip=True)
            if reversal is None:
                _LOG.error("audit: %s takes back more of payment %s than is left", fact.object, payment.id)
                return
        if reversal.stripe_object is None:
            await self._reversals.name_object(reversal.id, fact.object)
        if reversal.status == "taking":
            reversal = await self._take(payment, reversal)
        if fact.outcome == "returned" and reversal.status not in ("failed", "won", "refused"):
            await self._give_back(payment, reversal)
        elif fact.outcome == "confirmed" and not reversal.is_settled:
            await self._writer.submit(TellReversal(payment, reversal))
            await self._reversals.settle(reversal, CONFIRMED[reversal.kind], self._clock())

    async def _read(self, reversal: Reversal) -> Reversal:
        found = await self._reversals.find(reversal.id, "")
        return reversal if found is None else found


def _told(payment: Payment, fact: ReversalFact, now: datetime) -> Reversal:
    """A reversal that Stripe tells of and nobody asked for here."""
    return Reversal(
        named_id("reversal", fact.object),
        payment.id,
        fact.kind,
        "taking",
        fact.amount_minor,
        0,
        requested=False,
        reason=fact.reason,
        created_at=now,
        stripe_object=fact.object,
    )
