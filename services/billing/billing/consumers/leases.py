"""The lease calls over RPC."""

from billing.usecases.leases import Leases
from common.contracts.leases import LEASE_CALLS, LEASE_CLOSE, LEASE_REQUEST
from common.kit.rpc import RpcServer


def add_lease_methods(server: RpcServer, leases: Leases) -> None:
    """Serve LEASE_REQUEST, LEASE_CLOSE and LEASE_CALLS."""
    server.add(LEASE_REQUEST, leases.request_lease)
    server.add(LEASE_CLOSE, leases.close_lease)
    server.add(LEASE_CALLS, leases.decide_calls)
