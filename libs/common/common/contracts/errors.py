"""The one error type that crosses rooms and services: a stable code, an HTTP status, a message for people."""

from typing import ClassVar


class ServiceError(Exception):
    """A refusal that a caller can act on.

    `code` is stable and machine-readable, `status` the HTTP status it maps to, `message` safe to show to
    the client (no internals, no secrets). `param` names the offending field by its path. Services derive
    their own errors from it in `domain/errors.py`; routes and RPC render it, nobody else formats errors.
    """

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        retry_after_s: float | None = None,
        code: str | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s
        self.error_code = code or self.code
        self.error_status = status or self.status


class InvalidRequestError(ServiceError):
    """The request is malformed; `param` says where."""

    code = "invalid_request"
    status = 400


class InvalidKeyError(ServiceError):
    """The credential is missing, unknown, revoked or expired."""

    code = "invalid_api_key"
    status = 401


class InsufficientQuotaError(ServiceError):
    """The wallet (or what is left of it) does not cover the request."""

    code = "insufficient_quota"
    status = 402


class BudgetExceededError(ServiceError):
    """The spender's own budget does not cover the request, whatever the wallet holds."""

    code = "budget_exceeded"
    status = 403


class MaxChargeError(ServiceError):
    """More than the spender may spend at once, whatever is left of wallet and budget."""

    code = "max_charge_exceeded"
    status = 403


class ForbiddenError(ServiceError):
    """Known caller, not allowed: model, address, scope."""

    code = "forbidden"
    status = 403


class NotFoundError(ServiceError):
    """No such object for this caller; another tenant's object is indistinguishable from none."""

    code = "not_found"
    status = 404


class ModelNotFoundError(NotFoundError):
    """No channel serves the model to this caller's group, or the model has no price."""

    code = "model_not_found"


class ConflictError(ServiceError):
    """The same id was used before with another body, or the object is in another state."""

    code = "conflict"
    status = 409


class BodyTooLargeError(ServiceError):
    """The request body is over the service's limit."""

    code = "request_too_large"
    status = 413


class RateLimitedError(ServiceError):
    """A limit on requests, tokens or concurrency was hit; `retry_after_s` says when to come back."""

    code = "rate_limit_exceeded"
    status = 429


class UpstreamError(ServiceError):
    """The upstream failed before anything was delivered; nothing was charged."""

    code = "upstream_error"
    status = 502


class UnavailableError(ServiceError):
    """A part this service needs is away for the moment; nothing was done."""

    code = "service_unavailable"
    status = 503


class DeadlineError(ServiceError):
    """No answer within the deadline; the outcome is unknown, retry with the same id."""

    code = "deadline_exceeded"
    status = 504
