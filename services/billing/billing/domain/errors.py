"""What billing refuses, with the code and status each refusal has on every wire."""

from common.contracts.errors import ConflictError


class LeaseExpiredError(ConflictError):
    """The lease is closed, expired or unknown: nothing is granted from it; open another."""

    code = "lease_expired"


class StaleSequenceError(ConflictError):
    """A call with an older sequence than the lease has seen: it was overtaken and changes nothing."""

    code = "stale_sequence"
