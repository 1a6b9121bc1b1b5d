"""What payments refuse, with the code and status each refusal has on every wire."""

from common.contracts.errors import (
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    ServiceError,
    UnavailableError,
)


class PaymentsOffError(UnavailableError):
    """This installation takes no payments: no Stripe key is set."""

    code = "payments_disabled"


class NoRatioError(InvalidRequestError):
    """Nobody has said what a USD of balance costs in this currency."""

    code = "currency_not_accepted"


class PaymentRefusedError(InvalidRequestError):
    """Stripe will never do what was asked, and says why."""

    code = "payment_refused"


class BadSignatureError(InvalidRequestError):
    """A webhook that Stripe did not sign, or not lately."""

    code = "bad_signature"


class UnsupportedEventError(InvalidRequestError):
    """A signed event that is not for this account or mode, or whose object cannot be read."""

    code = "unsupported_event"


class NotCreditedError(ConflictError):
    """The payment is not credited (yet), so nothing of it can go back."""

    code = "payment_not_credited"


class CodeUnknownError(NotFoundError):
    """No such code."""

    code = "code_unknown"


class CodeUsedError(ConflictError):
    """Somebody was faster, or the caller redeemed it before."""

    code = "code_used"


class CodeExpiredError(ServiceError):
    """The code's time is over, or its batch was revoked."""

    code = "code_expired"
    status = 410


class CodesOffError(UnavailableError):
    """This installation has no redemption codes: no pepper is set."""

    code = "codes_disabled"
