"""Refusals of the protocol: `code` is the registered error code (RFC 6749 section 5.2 and its extensions).

`message` becomes `error_description`: ASCII without `"` and backslash.
"""

from common.contracts.errors import ServiceError


class OAuthError(ServiceError):
    """Any refusal that is told as `{"error": code, "error_description": message}`."""

    code = "invalid_request"
    status = 400


class InvalidRequestError(OAuthError):
    """A parameter is missing, repeated, malformed or not allowed here."""


class InvalidClientError(OAuthError):
    """The app did not prove who it is; 401, with WWW-Authenticate when it tried by header."""

    code = "invalid_client"
    status = 401


class InvalidGrantError(OAuthError):
    """Code, refresh token, verifier or redirect URI is wrong, used, expired, revoked or another app's."""

    code = "invalid_grant"


class UnauthorizedClientError(OAuthError):
    """The app may not use this way of asking."""

    code = "unauthorized_client"


class UnsupportedGrantTypeError(OAuthError):
    """No such grant type here."""

    code = "unsupported_grant_type"


class UnsupportedResponseTypeError(OAuthError):
    """Only `code`."""

    code = "unsupported_response_type"


class InvalidScopeError(OAuthError):
    """A scope that is unknown, malformed, not the app's, or more than was granted."""

    code = "invalid_scope"


class AccessDeniedError(OAuthError):
    """The person said no."""

    code = "access_denied"


class InvalidDetailsError(OAuthError):
    """`authorization_details` that cannot be granted as they are written (RFC 9396 section 5)."""

    code = "invalid_authorization_details"


class InvalidProofError(OAuthError):
    """A DPoP proof that does not prove possession (RFC 9449 section 5)."""

    code = "invalid_dpop_proof"


class InvalidTokenError(OAuthError):
    """At a resource: no such token, or no more (RFC 6750 section 3.1)."""

    code = "invalid_token"
    status = 401


class InsufficientScopeError(OAuthError):
    """At a resource: a good token without the scope `param` (RFC 6750 section 3.1)."""

    code = "insufficient_scope"
    status = 403
