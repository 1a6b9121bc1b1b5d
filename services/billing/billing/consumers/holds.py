"""The calls about holds over RPC."""

from billing.usecases.holds import Holds
from common.contracts.holds import (
    HOLD_CAPTURE,
    HOLD_CHARGE,
    HOLD_CHARGES,
    HOLD_EXTEND,
    HOLD_OPEN,
    HOLD_REFUND,
    HOLD_VOID,
)
from common.kit.rpc import RpcServer


def add_hold_methods(server: RpcServer, holds: Holds) -> None:
    """Serve them all."""
    server.add(HOLD_OPEN, holds.open_hold)
    server.add(HOLD_CHARGE, holds.charge_hold)
    server.add(HOLD_CHARGES, holds.charge_holds)
    server.add(HOLD_EXTEND, holds.extend_hold)
    server.add(HOLD_CAPTURE, holds.capture_hold)
    server.add(HOLD_VOID, holds.void_hold)
    server.add(HOLD_REFUND, holds.refund_hold)
