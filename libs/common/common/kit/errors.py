"""Errors on the wire: each protocol's own shape, the same ServiceError behind all of them."""

import math

import msgspec

from common.contracts.errors import ServiceError
from common.contracts.routes import Protocol

_OPENAI_TYPES = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "invalid_request_error",
    429: "rate_limit_error",
}
_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
_GEMINI = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "RESOURCE_EXHAUSTED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}

Headers = list[tuple[bytes, bytes]]


def error_body(protocol: Protocol, error: ServiceError, request_id: str) -> bytes:
    """The JSON body of `error` in the protocol's shape; every one carries the request id."""
    return msgspec.json.encode(
        _shape(protocol, error, f"{error.message} (request id: {request_id})", request_id)
    )


def render_error(protocol: Protocol, error: ServiceError, request_id: str) -> tuple[int, Headers, bytes]:
    """Status, headers and body. 429 and 503 carry `retry-after`; 5xx tell SDKs whether to retry."""
    body = error_body(protocol, error, request_id)
    kind = b"application/problem+json" if protocol == "problem" else b"application/json"
    headers: Headers = [
        (b"content-type", kind),
        (b"content-length", str(len(body)).encode()),
        (b"x-request-id", request_id.encode()),
    ]
    if error.retry_after_s is not None:
        headers.append((b"retry-after", str(max(1, math.ceil(error.retry_after_s))).encode()))
    if error.error_status >= 500 or error.error_status == 429:
        retry = b"true" if error.retry_after_s is not None or error.error_status >= 502 else b"false"
        headers.append((b"x-should-retry", retry))
    return error.error_status, headers, body


def _shape(protocol: Protocol, error: ServiceError, message: str, request_id: str) -> dict[str, object]:
    status, code = error.error_status, error.error_code
    if protocol == "anthropic":
        kind = _ANTHROPIC_TYPES.get(status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id}
    if protocol == "gemini":
        return {"error": {"code": status, "message": message, "status": _GEMINI.get(status, "INTERNAL")}}
    if protocol == "midjourney":
        return {"code": 4, "description": message, "result": None}
    if protocol == "problem":
        return {
            "type": f"urn:tollway:error:{code}",
            "title": code.replace("_", " "),
            "status": status,
            "detail": error.message,
            "code": code,
            "request_id": request_id,
            **({"param": error.param} if error.param else {}),
        }
    if protocol == "oauth":
        later = status in (429, 503)
        code = "temporarily_unavailable" if later else code if status < 500 else "server_error"
        return {"error": code, "error_description": message.replace('"', "'")}
    kind = _OPENAI_TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    return {"error": {"message": message, "type": kind, "param": error.param, "code": code}}
