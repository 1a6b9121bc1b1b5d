"""The call about wallets over RPC."""

from billing.domain.ports import WalletReader
from billing.usecases.topups import read_wallet
from common.contracts.wallets import WALLET_READ, WalletRead, WalletState
from common.kit.rpc import RpcServer


def add_wallet_methods(server: RpcServer, wallets: WalletReader) -> None:
    """Serve it."""

    async def read(request: WalletRead) -> WalletState:
        return WalletState(*await read_wallet(wallets, request.account))

    server.add(WALLET_READ, read)
