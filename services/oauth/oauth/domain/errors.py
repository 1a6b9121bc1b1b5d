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


class MissingTokenError(InvalidTokenError):
    """At a resource: no token was sent, so the challenge names no error (RFC 6750 section 3.1)."""


class InsufficientScopeError(OAuthError):
    """At a resource: a good token without the scope `param` (RFC 6750 section 3.1)."""

    code = "insufficient_scope"
    status = 403


class LoginRequiredError(OAuthError):
    """The app asked for no page, and nobody is signed in, or not recently (OpenID Connect Core 3.1.2.6)."""

    code = "login_required"


class ConsentRequiredError(OAuthError):
    """The app asked for no page, and the person has not allowed all of this yet."""

    code = "consent_required"


class InteractionRequiredError(OAuthError):
    """The app asked for no page, and cannot prove that it is itself: its person must see who asks."""

    code = "interaction_required"


class RequestNotSupportedError(OAuthError):
    """Request objects are not read; pushed requests (RFC 9126) do what they are for."""

    code = "request_not_supported"


class RegistrationNotSupportedError(OAuthError):
    """Apps are registered before they ask."""

    code = "registration_not_supported"


class InvalidRequestUriError(OAuthError):
    """A pushed request that is unknown, used, expired, or another app's."""

    code = "invalid_request_uri"


class UnknownTicketError(OAuthError):
    """A request for consent that was answered, has expired, or was last shown in another session."""

    code = "request_expired"
    status = 410


class StaleFormError(OAuthError):
    """A form that no page of this session sent."""

    code = "stale_form"
    status = 403
