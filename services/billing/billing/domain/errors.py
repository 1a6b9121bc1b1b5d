"""What billing refuses, with the code and status each refusal has on every wire."""

from common.contracts.errors import ConflictError, NotFoundError, UnavailableError


class LeaseExpiredError(ConflictError):
    """The lease is closed, expired or unknown: nothing is granted from it; open another."""

    code = "lease_expired"


class StaleSequenceError(ConflictError):
    """A call with an older sequence than the lease has seen: it was overtaken and changes nothing."""

    code = "stale_sequence"


class MoneyRecalledError(UnavailableError):
    """Idle money is on its way back from relays: the same reservation may fit in a moment."""

    code = "money_recalled"


class HoldNotFoundError(NotFoundError):
    """Nobody opened this hold."""

    code = "hold_not_found"


class HoldCapturedError(ConflictError):
    """The hold was resolved by a capture."""

    code = "hold_already_captured"


class HoldVoidedError(ConflictError):
    """The hold was resolved by a void."""

    code = "hold_already_voided"


class HoldExpiredError(ConflictError):
    """The hold's time was over before it was resolved."""

    code = "hold_expired"


class ExceedsHoldError(ConflictError):
    """More than is held."""

    code = "exceeds_hold"


class HoldNotPaidOnlyError(ConflictError):
    """Free money may have to pay for the hold, so none of it can go to an app."""

    code = "hold_not_paid_only"


class HoldNotCapturedError(ConflictError):
    """Nothing was captured, so there is nothing to give back."""

    code = "hold_not_captured"


class ExceedsCaptureError(ConflictError):
    """More than is left of what was captured."""

    code = "exceeds_capture"


class ExceedsPayableError(ConflictError):
    """More than is owed to the app."""

    code = "exceeds_payable"


class ExceedsChargeError(ConflictError):
    """More than is left of what was charged."""

    code = "exceeds_charge"
