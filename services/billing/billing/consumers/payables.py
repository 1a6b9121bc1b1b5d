"""The calls about apps' money over RPC."""

from billing.usecases.payables import AppMoney
from common.contracts.payables import PAYABLES_READ, PAYOUT_POST
from common.kit.rpc import RpcServer


def add_payable_methods(server: RpcServer, money: AppMoney) -> None:
    """Serve both."""
    server.add(PAYABLES_READ, money.read)
    server.add(PAYOUT_POST, money.pay)
