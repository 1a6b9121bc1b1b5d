"""Where clients put their key: the forms that unmodified SDKs and front ends send.

A credential is taken once, here, and is part of nothing that is forwarded or logged.
"""

from urllib.parse import unquote_to_bytes

from common.contracts.oauth import ACCESS_TOKEN_PREFIX

CREDENTIAL_HEADERS = (
    b"authorization",
    b"x-api-key",
    b"api-key",
    b"x-goog-api-key",
    b"mj-api-secret",
    b"sec-websocket-protocol",
)
"""In the order they are tried when a request carries several."""

_WEBSOCKET_PREFIX = "openai-insecure-api-key."
_MAX_LENGTH = 512


def key_of_header(name: bytes, value: str) -> str | None:
    """The key in one of CREDENTIAL_HEADERS, or None when the header holds none."""
    if name == b"authorization":
        scheme, _, token = value.partition(" ")
        if scheme.lower() == "dpop":
            return _plausible(token) if token.lstrip().startswith(ACCESS_TOKEN_PREFIX) else None
        return _plausible(token if scheme.lower() == "bearer" else value)
    if name == b"sec-websocket-protocol":
        for offer in value.split(","):
            if offer.strip().startswith(_WEBSOCKET_PREFIX):
                return _plausible(offer.strip()[len(_WEBSOCKET_PREFIX) :])
        return None
    return _plausible(value)


def split_query_key(query: bytes) -> tuple[str | None, bytes]:
    """The value of `?key=` and the query without it, every other byte as it was.

    An access token does not count there: URLs are written down too often (RFC 9700 section 4.3.2).
    """
    if not query:
        return None, query
    key = None
    kept = []
    for part in query.split(b"&"):
        name, _, value = part.partition(b"=")
        if name == b"key" or (b"%" in name and unquote_to_bytes(name) == b"key"):
            key = key or _plausible(unquote_to_bytes(value).decode("latin-1"))
        else:
            kept.append(part)
    return (None if key and key.startswith(ACCESS_TOKEN_PREFIX) else key), b"&".join(kept)


def _plausible(text: str) -> str | None:
    text = text.strip()
    if 0 < len(text) <= _MAX_LENGTH and text.isascii() and text.isprintable() and " " not in text:
        return text
    return None
