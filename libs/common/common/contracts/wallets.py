"""What an account has, for services that show it to its owner."""

import msgspec

from common.contracts.rpc import Method


class WalletRead(msgspec.Struct, frozen=True, array_like=True):
    """What does `account` have?"""

    account: str


class WalletState(msgspec.Struct, frozen=True, array_like=True):
    """Nano-USD: `balance_nano` can be spent, `held_nano` is under way; `free_nano` of both is a free
    allowance, which pays no app. `debt_nano` is what money that comes in pays first.
    """

    balance_nano: int
    held_nano: int
    free_nano: int
    debt_nano: int


WALLET_READ: Method[WalletRead, WalletState] = Method("rpc.billing.wallet.read.v1", WalletRead, WalletState)
