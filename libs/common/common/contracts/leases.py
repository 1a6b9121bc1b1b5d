"""Leases: money a relay replica may spend from memory (RFC 8506 credit control is the model).

Billing moves what it grants from the account's wallet to held. The replica stops spending at one TTL counted
from before it asked; billing expires the lease at two TTLs on its own clock and returns the rest. Lease ids
are minted by the replica, calls carry a `sequence` (0 for open, +1 each), and the same (lease, sequence)
always gets the same answer, so a lost reply is simply asked again.
"""

import msgspec

from common.contracts.principals import Budget, SpenderKind
from common.contracts.rpc import Method, RpcError


class LeaseRequest(msgspec.Struct, frozen=True, array_like=True):
    """Ask for money: open the lease (sequence 0) or extend and renew it.

    `needs_nano` are the holds of single requests that wait for money, in order: each is granted whole or not
    at all, in order, while wallet and budget last. `wants_nano` is what the replica would like in all; the
    excess over the needs is granted only from a comfortable balance, so that a low one is never stranded.
    `minimum_nano` > 0 says that a single stream waits and that no other reservation is open in this lease:
    when its need does not fit and nothing else is held of the account, at least `minimum_nano` and up to the
    need is granted (the last cents are spendable).
    """

    lease: str
    sequence: int
    replica: str
    account: str
    spender: str
    spender_kind: SpenderKind = "key"
    needs_nano: tuple[int, ...] = ()
    wants_nano: int = 0
    minimum_nano: int = 0
    budget: Budget | None = None


class LeaseGrant(msgspec.Struct, frozen=True, array_like=True):
    """What was granted by this call; sum over calls is the lease's total.

    `low` tells the replica to return what is idle at once. `reason` says why less than the needs was
    granted: `balance`, `budget`, `max_charge` (a need is more than the spender may spend at once), or
    `recall` (other replicas were asked to return idle money: ask again soon). `available_nano` is, for the
    error message, what wallet and budget would still give, or the most that may be spent at once.
    """

    lease: str
    sequence: int
    granted_nano: int
    ttl_s: float
    low: bool = False
    reason: str = ""
    available_nano: int = 0


class LeaseClose(msgspec.Struct, frozen=True, array_like=True):
    """Return `unspent_nano` (granted minus settled) to the wallet; usage still on its way stays held."""

    lease: str
    sequence: int
    unspent_nano: int


class LeaseClosed(msgspec.Struct, frozen=True, array_like=True):
    """`returned_nano` went back to the wallet; `remaining_nano` stays held for usage on its way."""

    lease: str
    returned_nano: int
    remaining_nano: int


class LeaseCalls(msgspec.Struct, frozen=True, array_like=True):
    """Calls that travel in one message, since broker and services pay per message.

    Each is decided as if it had come alone. A replica sends what it asks in one turn of its event loop so.
    """

    requests: tuple[LeaseRequest, ...] = ()
    closes: tuple[LeaseClose, ...] = ()


class LeaseOutcome(msgspec.Struct, frozen=True, array_like=True):
    """What one of the calls would have been answered alone: the first or second, or why it was refused."""

    granted: LeaseGrant | None = None
    closed: LeaseClosed | None = None
    refused: RpcError | None = None


class LeaseOutcomes(msgspec.Struct, frozen=True, array_like=True):
    """In the order of the calls: requests, then closes."""

    outcomes: tuple[LeaseOutcome, ...]


LEASE_REQUEST: Method[LeaseRequest, LeaseGrant] = Method(
    "rpc.billing.lease.request.v1", LeaseRequest, LeaseGrant
)
LEASE_CLOSE: Method[LeaseClose, LeaseClosed] = Method("rpc.billing.lease.close.v1", LeaseClose, LeaseClosed)
LEASE_CALLS: Method[LeaseCalls, LeaseOutcomes] = Method(
    "rpc.billing.lease.calls.v1", LeaseCalls, LeaseOutcomes
)
