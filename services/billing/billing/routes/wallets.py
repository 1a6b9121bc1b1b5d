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

    `free` is how much of both is a free allowance, which is spent first, and `paid` the rest. `debt` is what
    a refund or chargeback found missing: money that comes in pays it first.
    """

    account: str
    balance: str
    held: str
    free: str
    paid: str
    debt: str
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
        wallet, held, free, debt = await read_wallet(wallets, account)
        amounts = (wallet, held, free, wallet + held - free, debt)
        return Wallet(account, *map(format_usd, amounts))
