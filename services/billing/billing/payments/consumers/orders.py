"""The calls about top-up orders over RPC."""

from billing.payments.usecases.orders import Orders
from common.contracts.payments import PAYMENT_ORDER, PAYMENT_READ
from common.kit.rpc import RpcServer


def add_order_methods(server: RpcServer, orders: Orders) -> None:
    """Serve both."""
    server.add(PAYMENT_ORDER, orders.make)
    server.add(PAYMENT_READ, orders.read)
