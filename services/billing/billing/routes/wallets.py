"""GET /api/billing/wallet."""

import msgspec
from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromQuery

from billing.domain.ports import WalletReader
from billing.routes.principals import account_of
from billing.usecases.topups import read_wallet
from common.contracts.principals import Principal
from common.kit.money import format_usd


class Wallet(msgspec.Struct, frozen=True):
    """What an account can spend (`balance`) and what is held of its money now; decimal strings.

    `free` is how much of both is a free allowance, which is spent first, and `paid` the rest.
    """

    account: str
    balance: str
    held: str
    free: str
    paid: str
    currency: str = "USD"


class WalletController(Controller):
    """Balances."""

    path = "/api/billing/wallet"
    tags = ("billing",)

    @get()
    async def read(
        self,
        principal: NamedDependency[Principal],
        wallets: NamedDependency[WalletReader],
        account: FromQuery[str | None] = None,
    ) -> Wallet:
        """The caller's own wallet; an admin may name another account."""
        account = account_of(principal, account)
        wallet, held, free = await read_wallet(wallets, account)
        return Wallet(
            account, format_usd(wallet), format_usd(held), format_usd(free), format_usd(wallet + held - free)
        )
