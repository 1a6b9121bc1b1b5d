"""Errors as their standards have them: of endpoints (RFC 6749 section 5.2), of resources (RFC 6750, 9449)."""

import logging
import math
from typing import Any

from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap

from common.contracts.errors import ServiceError
from common.kit.errors import render_error
from common.kit.ids import is_request_id, uuid7
from oauth.domain.errors import InvalidClientError, InvalidRequestError, MissingTokenError, OAuthError
from oauth.domain.signatures import ALGORITHMS

NO_STORE = {"cache-control": "no-store", "pragma": "no-cache"}
_LOG = logging.getLogger(__name__)
_BASIC = 'Basic realm="tollway", charset="UTF-8"'
_MESSAGES = {404: "There is no such endpoint.", 405: "The endpoint does not know this method."}
_ALGORITHMS = f'algs="{" ".join(ALGORITHMS)}"'


def _oauth_error(_: Request[Any, Any, Any], error: ServiceError) -> Response[dict[str, str]]:
    """`{"error", "error_description"}`; a 401 says how to authenticate (RFC 9110 section 15.5.2)."""
    headers = dict(NO_STORE)
    if isinstance(error, InvalidClientError):
        headers["www-authenticate"] = _BASIC
    if error.retry_after_s is not None:
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after_s)))
    body = {"error": _code(error), "error_description": _ascii(error.message)}
    return Response(body, status_code=error.error_status, headers=headers)


def _oauth_http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[dict[str, str]]:
    if error.status_code >= 500:
        return _oauth_unexpected(request, error)
    message = _MESSAGES.get(error.status_code, "The request is malformed.")
    response = _oauth_error(request, InvalidRequestError(message, status=error.status_code))
    response.headers |= error.headers or {}
    return response


def _oauth_unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, str]]:
    _LOG.error("unhandled error on %s", request.url.path, exc_info=error)
    return _oauth_error(request, ServiceError("Internal error."))


oauth_handlers: ExceptionHandlersMap = {
    ServiceError: _oauth_error,
    HTTPException: _oauth_http_error,
    Exception: _oauth_unexpected,
}
"""For controllers of endpoints that apps call: `exception_handlers = oauth_handlers`."""


def unrouted(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    """For the application: 404 and 405 where nothing answers. Below /oauth/ stand protocol endpoints, whose
    clients read RFC 6749's errors; the charge API and everything else tell a problem.
    """
    path = request.url.path
    if path.startswith("/oauth/") and not path.startswith("/oauth/v1/"):
        return _oauth_http_error(request, error)
    answer: Response[Any] = request.app.exception_handlers[HTTPException](request, error)
    return answer


def _resource_error(request: Request[Any, Any, Any], error: OAuthError) -> Response[bytes]:
    """A problem, with the challenge that the standards ask for on 401 and 403."""
    request_id = request.headers.get("x-request-id", "")
    if not is_request_id(request_id):
        request_id = uuid7()
    status, pairs, body = render_error("problem", error, request_id)
    headers = {name.decode(): value.decode() for name, value in pairs if name != b"content-length"}
    media_type = headers.pop("content-type")
    if status in (401, 403):
        used_dpop = request.headers.get("authorization", "").lower().startswith("dpop ")
        headers["www-authenticate"] = _challenge(error, used_dpop=used_dpop)
    return Response(body, status_code=status, headers=headers | NO_STORE, media_type=media_type)


resource_handlers: ExceptionHandlersMap = {OAuthError: _resource_error}
"""For controllers of resources that access tokens open; other errors keep the service's own shape."""


def _challenge(error: OAuthError, *, used_dpop: bool) -> str:
    """Both schemes; the error goes with the one that was used, and none when no token was sent."""
    told = ""
    if not isinstance(error, MissingTokenError):
        told = f', error="{error.error_code}", error_description="{_ascii(error.message)}"'
        if error.error_status == 403 and error.param:
            told += f', scope="{error.param}"'
    bearer, dpop = 'Bearer realm="tollway"', f'DPoP realm="tollway", {_ALGORITHMS}'
    return f"{bearer}, {dpop}{told}" if used_dpop else f"{bearer}{told}, {dpop}"


def _code(error: ServiceError) -> str:
    if isinstance(error, OAuthError):
        return error.error_code
    if error.error_status == 503:
        return "temporarily_unavailable"
    return "server_error" if error.error_status >= 500 else "invalid_request"


def _ascii(message: str) -> str:
    return "".join(c if " " <= c <= "~" and c not in '"\\' else "?" for c in message)
