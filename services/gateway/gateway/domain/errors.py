"""What can go wrong at the gateway besides the errors every service has."""

from common.contracts.errors import ForbiddenError, ServiceError


class AnswerCutError(Exception):
    """A service's answer broke off after it had begun; the client's must break off as well."""


class InvalidTokenError(ServiceError):
    """An access token that is unknown, revoked or expired, or not sent as it must be (RFC 6750 section 3.1).

    `bound`: the token counts only with a DPoP proof, and the client is told so.
    """

    code = "invalid_token"
    status = 401

    def __init__(self, message: str, *, bound: bool = False) -> None:
        super().__init__(message)
        self.bound = bound


class InvalidProofError(InvalidTokenError):
    """A DPoP proof that does not prove possession (RFC 9449 section 7.1)."""

    code = "invalid_dpop_proof"

    def __init__(self, message: str) -> None:
        super().__init__(message, bound=True)


class InsufficientScopeError(ForbiddenError):
    """A good token that was not granted what the route needs (RFC 6750 section 3.1).

    `scope` is what to ask for, empty where no app is let in.
    """

    code = "insufficient_scope"

    def __init__(self, message: str, scope: str) -> None:
        super().__init__(message)
        self.scope = scope
