"""What can go wrong between the relay and an upstream."""

from common.contracts.errors import ForbiddenError, ServiceError, UpstreamError


class ModelNotAllowedError(ForbiddenError):
    """The key's model list does not cover the model."""

    code = "model_not_allowed"


class MethodNotAllowedError(ServiceError):
    """The path exists for another method."""

    code = "method_not_allowed"
    status = 405


class UpstreamAuthError(UpstreamError):
    """The upstream refuses the channel's credentials or account: the operator's matter, not the client's."""

    code = "upstream_auth_error"


class UpstreamTimeoutError(UpstreamError):
    """The upstream did not answer in time; it may have done the work."""

    code = "upstream_timeout"
    status = 504


class UpstreamGoneError(UpstreamError):
    """The upstream's answer broke off, or is not what its headers say."""

    code = "upstream_gone"
