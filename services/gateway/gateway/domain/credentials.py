"""Where clients put their key: the forms that unmodified SDKs and front ends send.

A credential is taken once, here, and is part of nothing that is forwarded or logged.
"""

from urllib.parse import unquote_to_bytes

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
        return _plausible(token if scheme.lower() == "bearer" else value)
    if name == b"sec-websocket-protocol":
        for offer in value.split(","):
            if offer.strip().startswith(_WEBSOCKET_PREFIX):
                return _plausible(offer.strip()[len(_WEBSOCKET_PREFIX) :])
        return None
    return _plausible(value)


def split_query_key(query: bytes) -> tuple[str | None, bytes]:
    """The value of `?key=` and the query without it, every other byte as it was."""
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
    return key, b"&".join(kept)


def _plausible(text: str) -> str | None:
    text = text.strip()
    if 0 < len(text) <= _MAX_LENGTH and text.isascii() and text.isprintable() and " " not in text:
        return text
    return None
