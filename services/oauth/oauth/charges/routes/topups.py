"""/oauth/v1/topup_orders and /oauth/v1/balance, by the person's access token."""

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from oauth.charges.domain.topups import TopupAsked, TopupView
from oauth.charges.routes.charges import IdempotencyKey
from oauth.charges.routes.errors import charge_handlers
from oauth.charges.usecases.topups import BalanceView, Topups
from oauth.domain.tokens import LiveToken
from oauth.routes.bearers import require


class TopupController(Controller):
    """Orders of the token's app for the token's person."""

    path = "/oauth/v1/topup_orders"
    dependencies = {"token": require("topup")}  # noqa: RUF012
    exception_handlers = charge_handlers

    @post()
    async def create(
        self,
        token: NamedDependency[LiveToken],
        topups: NamedDependency[Topups],
        data: JSONBody[TopupAsked],
        idempotency_key: IdempotencyKey = None,
    ) -> TopupView:
        """Make an order; the person pays at its `url`."""
        return await topups.create(token, data, idempotency_key)

    @get("/{order:str}")
    async def read(
        self, token: NamedDependency[LiveToken], topups: NamedDependency[Topups], order: FromPath[str]
    ) -> TopupView:
        """How an order stands."""
        return await topups.get(token, order)


class BalanceController(Controller):
    """The balance of the token's person."""

    path = "/oauth/v1/balance"
    dependencies = {"token": require("balance")}  # noqa: RUF012
    exception_handlers = charge_handlers

    @get()
    async def read(self, token: NamedDependency[LiveToken], topups: NamedDependency[Topups]) -> BalanceView:
        """What the person can spend."""
        return await topups.balance(token)
