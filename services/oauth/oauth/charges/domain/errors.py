"""What is refused about charges, with the code and status it has on every wire."""

from collections.abc import Mapping

from common.contracts.errors import ConflictError, ServiceError


class ChargeRefusedError(ServiceError):
    """The ledger will never make this charge. `more` is what an app can act on, beside the code."""

    code = "charge_refused"
    status = 400

    def __init__(
        self, message: str, more: Mapping[str, object] | None = None, *, status: int | None = None
    ) -> None:
        super().__init__(message, status=status)
        self.more = dict(more or {})


class InsufficientBalanceError(ChargeRefusedError):
    """The person's paid balance does not cover it; says where to top up, never how much there is."""

    code = "insufficient_balance"
    status = 402


class ChargeLimitError(ChargeRefusedError):
    """More than is left of the limit that the person set; says `limit`, `period`, `resets_at`."""

    code = "charge_limit_exceeded"
    status = 403


class ChargeTooLargeError(ChargeRefusedError):
    """More than the person allows at once; says `max_per_charge`."""

    code = "charge_too_large"
    status = 403


class GrantEndedError(ChargeRefusedError):
    """The person's permission ended before the charge was made."""

    code = "grant_ended"
    status = 403


class InvalidStateError(ConflictError):
    """The charge is not in a state in which this can be done."""

    code = "invalid_state"


class ExceedsCaptureError(ConflictError):
    """More than is held, or than is left of what was captured."""

    code = "exceeds_capture"


class IdempotencyMismatchError(ServiceError):
    """The Idempotency-Key was used for another request."""

    code = "idempotency_mismatch"
    status = 422


class IdempotencyInProgressError(ConflictError):
    """The first request with this key, or the same act, is still under way."""

    code = "idempotency_in_progress"
