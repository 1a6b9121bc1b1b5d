"""Pay out what an app earned: the row first, then the ledger by its id, then what it said."""

import logging

from common.contracts.errors import ConflictError, InvalidRequestError, ServiceError
from common.contracts.payables import PAYABLES_READ, PAYOUT_POST, PayablesRead, PayoutPost
from common.kit.ids import uuid7
from oauth.charges.domain.charges import MAX_REFERENCE, check_key, check_text, read_amount
from oauth.charges.domain.errors import IdempotencyInProgressError, IdempotencyMismatchError
from oauth.charges.domain.payouts import Payout, PayoutAsked
from oauth.charges.domain.ports import Ledger, PayoutStore
from oauth.domain.apps import App
from oauth.domain.ports import Clock, Store

_LOG = logging.getLogger(__name__)
_SWEEP = 100
_UNKNOWN = 500
"""From this status on it is not known what the ledger did."""


class ExceedsBalanceError(ConflictError):
    """More than the app has."""

    code = "exceeds_payable"


class Payouts:
    """Payouts of all apps, by the operator."""

    def __init__(self, store: PayoutStore, core: Store, ledger: Ledger, clock: Clock) -> None:
        self._store = store
        self._core = core
        self._ledger = ledger
        self._clock = clock

    async def create(self, app: App, asked: PayoutAsked, key: str | None, user: str, account: str) -> Payout:
        """The payout, made once per app and key, by this user of this account.

        InvalidRequestError, IdempotencyMismatchError, IdempotencyInProgressError, ExceedsBalanceError (final
        under this key); UnavailableError: repeat with the same key.
        """
        key, amount_nano, now = check_key(key), read_amount(asked.amount), self._clock()
        check_text("reference", asked.reference, MAX_REFERENCE)
        if asked.to == "wallet" and app.owner_account is None:
            raise InvalidRequestError(
                "The app is the operator's own: nobody has a wallet for it.", param="to"
            )
        wish = Payout(
            id=uuid7(),
            app=app.id,
            key=key,
            state="pending",
            amount_nano=amount_nano,
            target=asked.to,
            account=app.owner_account or account,
            reference=asked.reference,
            created_by=user,
            created_at=now,
        )
        payout = await self._store.add(wish)
        if not payout.same_wish(wish):
            raise IdempotencyMismatchError("This key was used for another payout.", param="Idempotency-Key")
        if payout.state == "pending" and payout.id != wish.id and not await self._store.claim(payout.id, now):
            raise IdempotencyInProgressError("The first request is still under way.", retry_after_s=1)
        if payout.state == "pending":
            payout = await self._decide(payout, app.client_id)
        if payout.state == "failed":
            raise ExceedsBalanceError("That is more than the app has.", param="amount")
        return payout

    async def balance(self, app: App) -> int:
        """Nano-USD that the app has earned and not been paid."""
        answer = await self._ledger.call(PAYABLES_READ, PayablesRead((app.client_id,)))
        return answer.balances_nano[0]

    async def sweep(self) -> None:
        """Finish what was not heard of."""
        for payout in await self._store.claim_due(self._clock(), _SWEEP):
            async with self._core.transaction() as work:
                app = await work.apps.get(payout.app)
            try:
                if app is not None:
                    await self._decide(payout, app.client_id)
            except ServiceError as error:
                _LOG.warning("payout %s: looked at again later: %s", payout.id, error.message)

    async def _decide(self, payout: Payout, client_id: str) -> Payout:
        request = PayoutPost(payout.id, client_id, payout.account, payout.amount_nano, payout.target)
        try:
            await self._ledger.call(PAYOUT_POST, request)
        except ServiceError as error:
            if error.error_status >= _UNKNOWN:
                raise
            return await self._store.settle(payout, "failed", self._clock())
        return await self._store.settle(payout, "paid", self._clock())
