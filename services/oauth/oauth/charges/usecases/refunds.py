"""Refund a charge: the row first, its amount set aside, then the ledger by the row's id, then its answer."""

import logging

from common.contracts.errors import ServiceError
from common.contracts.holds import HOLD_REFUND, HoldRefund
from common.kit.ids import uuid7
from oauth.charges.domain.charges import MAX_REFERENCE, Charge, check_key, check_text, read_amount
from oauth.charges.domain.errors import (
    ChargeRefusedError,
    IdempotencyInProgressError,
    IdempotencyMismatchError,
)
from oauth.charges.domain.ports import Ledger, RefundStore
from oauth.charges.domain.refunds import Refund, RefundAsked
from oauth.domain.ports import Clock

_LOG = logging.getLogger(__name__)
_SWEEP = 100
_FEES = "fees"
_UNKNOWN = 500
"""From this status on it is not known what the ledger did."""


class Refunds:
    """Refunds of all charges; guarantees as those of Charges."""

    def __init__(self, store: RefundStore, ledger: Ledger, clock: Clock) -> None:
        self._store = store
        self._ledger = ledger
        self._clock = clock

    async def create(self, charge: Charge, asked: RefundAsked, key: str | None) -> Refund:
        """The refund, made once per charge and key; again the same for the same key.

        InvalidRequestError, IdempotencyMismatchError, IdempotencyInProgressError, InvalidStateError,
        ExceedsCaptureError; UnavailableError: repeat with the same key.
        """
        key = check_key(key)
        asked_nano = None if asked.amount is None else read_amount(asked.amount)
        check_text("reason", asked.reason, MAX_REFERENCE)
        now = self._clock()
        wish = Refund(
            id=uuid7(),
            charge=charge.id,
            key=key,
            fingerprint=asked.fingerprint(asked_nano),
            state="pending",
            amount_nano=asked_nano or 0,
            reason=asked.reason,
            created_at=now,
        )
        refund = await self._store.add(wish, asked_nano)
        if refund.fingerprint != wish.fingerprint:
            raise IdempotencyMismatchError("This key was used for another refund.", param="Idempotency-Key")
        if refund.state == "pending" and refund.id != wish.id:
            claimed = await self._store.claim(refund.id, now)
            if claimed is None:
                raise IdempotencyInProgressError("The first request is still under way.", retry_after_s=1)
        if refund.state == "pending":
            refund = await self._decide(refund)
        if refund.state == "failed":
            raise ChargeRefusedError("This refund cannot be made.", status=409)
        return refund

    async def list_of(self, charge: Charge) -> list[Refund]:
        """In the order they were made."""
        return await self._store.list_of(charge.id)

    async def sweep(self) -> None:
        """Finish what was not heard of."""
        while due := await self._store.claim_due(self._clock(), _SWEEP):
            for refund in due:
                try:
                    await self._decide(refund)
                except ServiceError as error:
                    _LOG.warning("refund %s: looked at again later: %s", refund.id, error.message)
            if len(due) < _SWEEP:
                return

    async def _decide(self, refund: Refund) -> Refund:
        request = HoldRefund(refund.charge, refund.id, refund.amount_nano, refund.reason)
        try:
            state = await self._ledger.call(HOLD_REFUND, request)
        except ServiceError as error:
            if error.error_status >= _UNKNOWN:
                raise
            _LOG.error("refund %s: the ledger refused it: %s", refund.id, error.message)
            return await self._store.settle(refund, None)
        fee_nano = sum(share.amount_nano for share in state.shares if share.account == _FEES)
        return await self._store.settle(refund, fee_nano)
