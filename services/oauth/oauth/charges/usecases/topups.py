"""What an app may learn of a person's balance, and the orders by which the person tops it up.

The row is written first, billing's payment has its id; the wallet is credited when Stripe says so, whatever
the browser does.
"""

import msgspec

from common.contracts.errors import ConflictError, NotFoundError, ServiceError
from common.contracts.payments import PAYMENT_ORDER, PAYMENT_READ, PaymentOrder, PaymentRead, PaymentState
from common.contracts.wallets import WALLET_READ, WalletRead
from common.kit.ids import named_id, uuid7
from common.kit.money import format_usd
from oauth.charges.domain.charges import check_key, is_uuid, read_amount
from oauth.charges.domain.errors import IdempotencyMismatchError
from oauth.charges.domain.ports import Ledger, TopupStore
from oauth.charges.domain.topups import TopupAsked, TopupOrder, TopupView, check_return_url
from oauth.domain.ports import Clock
from oauth.domain.tokens import LiveToken


class BalanceView(msgspec.Struct, frozen=True):
    """USD that can be spent; `free` of it is a free allowance, which pays no app."""

    balance: str
    free: str
    currency: str = "USD"


class Topups:
    """Orders of all apps."""

    def __init__(self, store: TopupStore, ledger: Ledger, clock: Clock) -> None:
        self._store = store
        self._ledger = ledger
        self._clock = clock

    async def create(self, live: LiveToken, asked: TopupAsked, key: str | None) -> TopupView:
        """The order with its page to pay at; again the same for the same key, when there is one.

        InvalidRequestError, IdempotencyMismatchError, billing's refusals; UnavailableError: repeat.
        """
        read_amount(asked.amount)
        check_return_url(live.app, asked.return_url)
        id_ = uuid7() if key is None else named_id("topup-order", live.grant.id, check_key(key))
        order = TopupOrder(
            id_, live.app.id, live.person.user, live.person.account, asked.method, self._clock()
        )
        await self._store.add(order)
        request = PaymentOrder(
            id=id_,
            account=live.person.account,
            method=asked.method,
            amount=asked.amount,
            email=live.person.email,
            return_url=asked.return_url,
            description=f"Balance, by {live.app.name}"[:250],
        )
        try:
            return _view(order, await self._ledger.call(PAYMENT_ORDER, request))
        except ServiceError as error:
            if error.error_code != ConflictError.code:
                raise
            raise IdempotencyMismatchError("This key was used for another order.") from error

    async def get(self, live: LiveToken, order: str) -> TopupView:
        """The order that this app made for this person; NotFoundError."""
        found = await self._store.find(order) if is_uuid(order) else None
        if found is None or (found.app, found.user) != (live.app.id, live.person.user):
            raise NotFoundError("There is no such order.")
        return _view(found, await self._ledger.call(PAYMENT_READ, PaymentRead(found.id, found.account)))

    async def balance(self, live: LiveToken) -> BalanceView:
        """What the person has."""
        state = await self._ledger.call(WALLET_READ, WalletRead(live.person.account))
        return BalanceView(format_usd(state.balance_nano), format_usd(state.free_nano))


def _view(order: TopupOrder, state: PaymentState) -> TopupView:
    return TopupView(
        id=order.id,
        status=state.status,
        method=order.method,
        url=state.url or None,
        amount=state.amount,
        currency=state.currency,
        credits=state.credits,
        failure=state.failure or None,
        created_at=order.created_at,
    )
