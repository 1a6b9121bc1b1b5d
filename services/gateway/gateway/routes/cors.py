"""CORS (Fetch standard, section 3.3): any origin may call, since the key and no cookie is the credential.

Except for the pages that people open, where a cookie is (RFC 9700 section 2.6).
"""

from collections.abc import Iterable

from common.kit.asgi import Send, header, send_response

_EXPOSED = (
    b"x-request-id, retry-after, x-should-retry, x-ratelimit-limit-requests, "
    b"x-ratelimit-remaining-requests, x-ratelimit-reset-requests, www-authenticate, dpop-nonce"
)
CORS_HEADERS: list[tuple[bytes, bytes]] = [
    (b"access-control-allow-origin", b"*"),
    (
        b"access-control-expose-headers",
        _EXPOSED,
    ),
]
_METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
_DEFAULT_HEADERS = b"authorization, content-type, x-api-key, mj-api-secret, x-request-id"
_MAX_ECHO_BYTES = 4096


async def answer_preflight(
    headers: Iterable[tuple[bytes, bytes]], send: Send, extra: list[tuple[bytes, bytes]]
) -> None:
    """Allow whatever headers the browser asks for; no credential is needed to ask."""
    wanted = header(headers, b"access-control-request-headers") or b""
    allowed = wanted if 0 < len(wanted) <= _MAX_ECHO_BYTES else _DEFAULT_HEADERS
    await send_response(
        send,
        204,
        [
            *extra,
            *CORS_HEADERS,
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", allowed),
            (b"access-control-max-age", b"86400"),
            (b"vary", b"access-control-request-headers"),
        ],
        b"",
    )
