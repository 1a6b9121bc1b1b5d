"""A lease in memory: arithmetic of money that billing has set aside for this replica.

granted = settled + reserved + free. Free may be negative for a moment when an answer cost more than its
reservation; billing then takes the difference from the wallet.
"""

from collections.abc import Callable

from common.contracts.leases import LeaseClose, LeaseGrant, LeaseRequest

AHEAD_SHARE = 0.3
"""A lease is topped up in the background when less than this share of what is liked is free."""
NEEDS_AHEAD = 8
"""How many of the largest holds a replica likes to have in hand."""
MAX_NEEDS = 256
"""Waiting reservations asked for in one call."""


class Lease:
    """One lease, from its first request to its close. Amounts in nano-USD, times on the monotonic clock.

    `deadline_s`: nothing may be reserved from then on. `retired`: no new reservations, return the rest when
    the last one is settled. `closed`: the close was sent. `pending`: a request whose answer never came.
    """

    __slots__ = (
        "closed",
        "deadline_s",
        "granted_nano",
        "id",
        "low",
        "open_reservations",
        "pending",
        "pending_since_s",
        "reserved_nano",
        "retired",
        "sequence",
        "settled_nano",
        "ttl_s",
    )

    def __init__(self, id_: str) -> None:
        self.id = id_
        self.granted_nano = 0
        self.settled_nano = 0
        self.reserved_nano = 0
        self.open_reservations = 0
        self.deadline_s = 0.0
        self.ttl_s = 0.0
        self.sequence = 0
        self.low = False
        self.retired = False
        self.closed = False
        self.pending: LeaseRequest | None = None
        self.pending_since_s = 0.0

    @property
    def free_nano(self) -> int:
        """What new reservations may take."""
        return self.granted_nano - self.settled_nano - self.reserved_nano

    @property
    def unspent_nano(self) -> int:
        """What billing gets back at the close: what is neither settled nor reserved."""
        return max(0, self.free_nano)

    def usable(self, now_s: float) -> bool:
        """Whether new reservations may be made."""
        return not self.retired and now_s < self.deadline_s

    def granted(self, grant: LeaseGrant, asked_at_s: float) -> None:
        """Apply an answer; the time to live counts from before the question (RFC 8506 counts from receipt,
        which a slow network would stretch).
        """
        self.granted_nano += grant.granted_nano
        self.ttl_s = grant.ttl_s
        self.deadline_s = asked_at_s + grant.ttl_s
        self.low = grant.low
        self.sequence = grant.sequence + 1
        self.pending = None

    def close(self) -> LeaseClose:
        """The call that returns what is unspent; nothing may be reserved after it."""
        self.retired = True
        self.closed = True
        sequence = self.sequence if self.pending is None else self.sequence + 1
        return LeaseClose(self.id, sequence, self.unspent_nano)


class Reservation:
    """Money of a lease that one request may spend. `free_of_charge` ones have no lease."""

    __slots__ = ("amount_nano", "lease", "settle")

    def __init__(self, lease: Lease | None, amount_nano: int, settle: Callable[[int], None]) -> None:
        self.lease = lease
        self.amount_nano = amount_nano
        self.settle = settle
        """Give the reservation back and book its cost (nano-USD); called once, when the usage is stored."""

    @property
    def lease_id(self) -> str:
        """The lease that billing takes the cost from; empty when nothing was reserved."""
        return self.lease.id if self.lease is not None else ""


class Spend:
    """How fast money is spent: a moving average that sizes the next request."""

    __slots__ = ("_rate_nano_per_s", "_since_s", "_spent_nano", "largest_nano")

    def __init__(self, now_s: float) -> None:
        self.largest_nano = 0
        self._rate_nano_per_s = 0
        self._spent_nano = 0
        self._since_s = now_s

    def reserved(self, amount_nano: int) -> None:
        """Note a reservation's size."""
        self.largest_nano = max(self.largest_nano, amount_nano)

    def settled(self, cost_nano: int) -> None:
        """Note what a request cost."""
        self._spent_nano += cost_nano

    def liked_nano(self, now_s: float, ttl_s: float) -> int:
        """What a replica would like to have free: some large requests, or the spending of one time to live
        (two refresh periods).
        """
        elapsed_ms = int((now_s - self._since_s) * 1000)
        if elapsed_ms >= 500:
            rate = self._spent_nano * 1000 // elapsed_ms
            self._rate_nano_per_s = (self._rate_nano_per_s + rate) // 2 if self._rate_nano_per_s else rate
            self._spent_nano = 0
            self._since_s = now_s
            self.largest_nano -= self.largest_nano // 8  # one huge request is not for ever
        return max(NEEDS_AHEAD * self.largest_nano, self._rate_nano_per_s * int(ttl_s * 1000) // 1000)


def shortfalls(needs_nano: list[int], free_nano: int) -> tuple[int, ...]:
    """What to ask for so that `needs_nano` are covered in order, after `free_nano` was dealt out first."""
    asked = []
    left = max(0, free_nano)
    for need in needs_nano:
        if need <= left:
            left -= need
        else:
            asked.append(need - left)
            left = 0
    return tuple(asked)
