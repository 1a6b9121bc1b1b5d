"""Charge, capture, cancel: the row first, then the ledger by ids of the row, then what it decided.

Whatever line a process dies at, the row says what was asked: the same request again, or the sweep, asks the
ledger once more by the same ids and stores the same answer. Nothing is charged twice, and nothing is lost.
"""

import logging
from datetime import UTC, datetime, timedelta

import msgspec

from common.contracts.errors import NotFoundError, ServiceError
from common.contracts.holds import (
    HOLD_CAPTURE,
    HOLD_OPEN,
    HOLD_VOID,
    HoldCapture,
    HoldCharge,
    HoldOpen,
    HoldState,
    HoldVoid,
)
from common.contracts.principals import Budget
from common.kit.ids import uuid7
from oauth.charges.domain.charges import (
    HOLD_TTL,
    PATIENCE,
    Charge,
    ChargeAsked,
    ChargeQuery,
    ChargeView,
    Settlement,
    State,
    check_asked,
    check_key,
    encode_metadata,
    is_uuid,
    read_amount,
    show,
)
from oauth.charges.domain.errors import (
    ExceedsCaptureError,
    IdempotencyInProgressError,
    IdempotencyMismatchError,
    InvalidStateError,
)
from oauth.charges.domain.ports import ChargeLedger, ChargeStore
from oauth.charges.domain.refusals import GRANT_ENDED, LEDGER_CODES, OTHER, refusal
from oauth.domain.ports import Clock, Store
from oauth.domain.subjects import pairwise_subject
from oauth.domain.tokens import Digester, LiveToken
from oauth.usecases.batches import Batches

_LOG = logging.getLogger(__name__)
_SWEEP = 100
_AFTER_EXPIRY = timedelta(seconds=1)
"""The ledger expires by its own clock: whoever asks a moment later is told so."""
_FEES = "fees"
_UNKNOWN = 500
"""From this status on it is not known what the ledger did."""
_OVER: dict[str, State] = {"hold_expired": "expired", "hold_already_voided": "canceled"}


class Charges:
    """Charges of all apps; see the module for what is guaranteed."""

    def __init__(
        self, store: ChargeStore, core: Store, ledger: ChargeLedger, clock: Clock, digester: Digester
    ) -> None:
        self._store = store
        self._core = core
        self._ledger = ledger
        self._clock = clock
        self._digester = digester
        self._adding: Batches[Charge, bool] = Batches(store.add)
        self._settling: Batches[Settlement, Charge] = Batches(store.settle)

    async def create(self, live: LiveToken, asked: ChargeAsked, key: str | None) -> Charge:
        """The charge, made once per grant and key; again the same, or its refusal, for the same key.

        InvalidRequestError names a bad field; IdempotencyMismatchError, IdempotencyInProgressError;
        InsufficientBalanceError, ChargeLimitError, ChargeTooLargeError: refused under this key for ever;
        UnavailableError: repeat with the same key.
        """
        key, amount_nano, now = check_key(key), check_asked(asked), self._clock()
        wish = Charge(
            id=uuid7(),
            app=live.app.id,
            client_id=live.app.client_id,
            grant=live.grant.id,
            user=live.person.user,
            account=live.person.account,
            key=key,
            fingerprint=asked.fingerprint(amount_nano),
            state="opening",
            amount_nano=amount_nano,
            capture=asked.capture,
            fee_micro=live.app.fee_micro,
            description=asked.description,
            reference=asked.reference,
            metadata=encode_metadata(asked.metadata),
            created_at=now,
            due_at=now + PATIENCE,
        )
        charge = wish if await self._adding.submit(wish) else await self._known(wish, now)
        if charge.state == "opening":
            charge = await self._decide(charge, live.grant.spending.budget)
        if charge.state == "failed":
            raise refusal(charge.failure, live.grant.spending, now)
        return charge

    async def capture(self, charge: Charge, amount: str | None) -> Charge:
        """Take what is held, or a part, and release the rest; again the same for the same amount.

        InvalidStateError, ExceedsCaptureError, IdempotencyInProgressError, UnavailableError (repeat it).
        """
        amount_nano = charge.amount_nano if amount is None else read_amount(amount)
        if amount_nano > charge.amount_nano:
            raise ExceedsCaptureError("That is more than is held.", param="amount")
        if charge.state == "succeeded" and not charge.capture and charge.captured_nano == amount_nano:
            return charge
        charge = await self._begin(charge, "capturing", amount_nano)
        charge = await self._decide(charge, None)
        if charge.state != "succeeded":
            raise _over(charge)
        return charge

    async def cancel(self, charge: Charge) -> Charge:
        """Give back what is held; again the same. InvalidStateError, IdempotencyInProgressError."""
        if charge.state == "canceled":
            return charge
        charge = await self._begin(charge, "canceling", 0)
        charge = await self._decide(charge, None)
        if charge.state != "canceled":
            raise _over(charge)
        return charge

    async def get(self, charge: str, app: str, user: str | None = None) -> Charge:
        """The app's charge of that person (None: of anybody); NotFoundError."""
        found = await self._store.find(charge) if is_uuid(charge) else None
        if found is None or found.app != app or user not in (None, found.user):
            raise NotFoundError("There is no such charge.")
        return found

    async def list_page(self, query: ChargeQuery) -> list[Charge]:
        """Newest first."""
        return await self._store.list_page(query)

    def show(self, charge: Charge) -> ChargeView:
        """The charge as its app sees it."""
        return show(charge, pairwise_subject(self._digester, charge.client_id, charge.user))

    async def sweep(self) -> None:
        """Finish what was not heard of, end what expired and what is held under a grant that ended."""
        while due := await self._store.claim_due(self._clock(), _SWEEP):
            for charge in due:
                try:
                    await self._resume(charge)
                except ServiceError as error:
                    _LOG.warning("charge %s: looked at again later: %s", charge.id, error.message)
            if len(due) < _SWEEP:
                return

    async def _known(self, wish: Charge, now: datetime) -> Charge:
        known = await self._store.find_key(wish.grant, wish.key)
        if known is None:  # it was there a moment ago, and charges are not deleted
            raise IdempotencyInProgressError("Try again.", retry_after_s=1)
        if known.fingerprint != wish.fingerprint:
            raise IdempotencyMismatchError("This key was used for another charge.", param="Idempotency-Key")
        if known.state != "opening":
            return known
        claimed = await self._store.claim(known.id, "opening", "opening", 0, now)
        if claimed is None:
            raise IdempotencyInProgressError("The first request is still under way.", retry_after_s=1)
        return claimed

    async def _begin(self, charge: Charge, state: State, amount_nano: int) -> Charge:
        """To `state`, or on with it when the one before was not heard of; one of many gets there."""
        again = charge.state == state and charge.captured_nano == amount_nano
        before: State = state if again else "requires_capture"
        now = self._clock()
        claimed = await self._store.claim(charge.id, before, state, amount_nano, now)
        if claimed is not None:
            return claimed
        if charge.state in ("capturing", "canceling", "requires_capture"):
            raise IdempotencyInProgressError("It is being captured or canceled.", retry_after_s=1)
        raise _over(charge)

    async def _decide(self, charge: Charge, budget: Budget | None) -> Charge:
        """Ask the ledger and store what it says; what is unknown stays as it is."""
        try:
            state = await self._ask(charge, budget)
        except ServiceError as error:
            if error.error_status >= _UNKNOWN:
                raise
            settlement = _refused(charge, error)
        else:
            settlement = _decided(charge, state)
        return await self._settling.submit(settlement)

    async def _ask(self, charge: Charge, budget: Budget | None) -> HoldState:
        if charge.state == "capturing":
            shares = charge.credits(charge.captured_nano)
            request = HoldCapture(charge.id, charge.capture_id, charge.captured_nano, shares)
            return await self._ledger.call(HOLD_CAPTURE, request)
        if charge.state == "canceling":
            return await self._ledger.call(HOLD_VOID, HoldVoid(charge.id, charge.void_id))
        opening = HoldOpen(
            hold=charge.id,
            account=charge.account,
            spender=charge.grant,
            amount_nano=charge.amount_nano,
            ttl_s=int(HOLD_TTL.total_seconds()),
            spender_kind="grant",
            budget=budget,
            purpose="charge",
            reference=charge.id,
            app=charge.client_id,
            paid_only=True,
        )
        if not charge.capture:
            return await self._ledger.call(HOLD_OPEN, opening)
        shares = charge.credits(charge.amount_nano)
        return await self._ledger.charge(HoldCharge(opening, charge.capture_id, shares))

    async def _resume(self, charge: Charge) -> None:
        if charge.state != "opening":
            await self._decide(charge, None)
            return
        async with self._core.transaction() as work:
            grant, app = await work.grants.get(charge.grant), await work.apps.get(charge.app)
        ended = grant is None or grant.revoked_at is not None or app is None or app.disabled_at is not None
        until = None if grant is None else grant.spending.expires_at
        if ended or (until is not None and until <= self._clock()):
            await self._take_back(charge)
        elif grant is not None:
            await self._decide(charge, grant.spending.budget)

    async def _take_back(self, charge: Charge) -> None:
        """The grant ended while it was not known whether the charge was made: what was made stays, and
        nothing more is.
        """
        try:
            await self._ledger.call(HOLD_VOID, HoldVoid(charge.id, charge.void_id))
        except ServiceError as error:
            if error.error_status >= _UNKNOWN:
                raise
            if error.error_code == "hold_already_captured":
                await self._decide(charge, None)
                return
        await self._settling.submit(Settlement(charge=charge, state="failed", failure=GRANT_ENDED))


def _decided(charge: Charge, state: HoldState) -> Settlement:
    """What the ledger's answer means for the charge."""
    settlement = Settlement(
        charge=charge,
        state="succeeded",
        captured_nano=state.captured_nano,
        fee_nano=sum(share.amount_nano for share in state.shares if share.account == _FEES),
        remaining_nano=state.budget_left_nano,
    )
    if charge.state == "canceling":
        return msgspec.structs.replace(settlement, state="canceled")
    if charge.state == "opening" and not charge.capture:
        expires_at = datetime.fromtimestamp(state.expires_at_ms // 1000, UTC)
        return msgspec.structs.replace(
            settlement,
            state="requires_capture",
            expires_at=expires_at,
            due_at=expires_at + _AFTER_EXPIRY,
        )
    return settlement


def _refused(charge: Charge, error: ServiceError) -> Settlement:
    """What a refusal means for the charge: it will be the same whoever asks again."""
    code = error.error_code
    if charge.state == "opening":
        failure = LEDGER_CODES.get(code, OTHER)
        if failure == OTHER:
            _LOG.error("charge %s: the ledger refused it: %s: %s", charge.id, code, error.message)
        return Settlement(charge=charge, state="failed", failure=failure)
    if code not in _OVER:
        raise error
    return Settlement(charge=charge, state=_OVER[code])


def _over(charge: Charge) -> InvalidStateError:
    return InvalidStateError(f"The charge is {charge.state}.")
