"""Which headers pass: everything that is not the connection's, a credential, or the suite's own."""

from collections.abc import Iterable

RawHeaders = list[tuple[bytes, bytes]]

_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-connection te trailer trailers transfer-encoding upgrade"
    b" expect".split()
)
# The last two name the client's own account at the vendor: with the channel's key they are a contradiction.
_CREDENTIALS = frozenset(
    b"authorization proxy-authorization x-api-key api-key x-goog-api-key mj-api-secret cookie"
    b" openai-organization openai-project".split()
)
_NOT_FORWARDED = (
    _HOP_BY_HOP
    | _CREDENTIALS
    # The upstream account is shared: one tenant's idempotency key must not meet another's.
    | {b"host", b"content-length", b"accept-encoding", b"forwarded", b"via", b"x-real-ip", b"idempotency-key"}
    | {b"x-request-id", b"true-client-ip", b"cf-connecting-ip", b"origin", b"referer"}
)
_NOT_RETURNED = (
    _HOP_BY_HOP
    # uvicorn dates its own answers; CORS is the gateway's; alt-svc would send the client to the upstream.
    | {b"set-cookie", b"date", b"server", b"alt-svc", b"strict-transport-security", b"content-encoding"}
    | {b"content-length"}
)


# What becomes of a header name, None when it does not pass: the same few names come with every request.
_FORWARDED_AS: dict[bytes, str | None] = {}
_RETURNED_AS: dict[bytes, bytes | None] = {}
_MAX_KNOWN_NAMES = 1_000


def forwarded(headers: Iterable[tuple[bytes, bytes]], request_id: str, api_key: str) -> list[tuple[str, str]]:
    """The client's headers for the upstream, unknown ones included, with the channel's credential."""
    passed = [("accept-encoding", "identity"), ("x-request-id", request_id)]
    if api_key:
        passed.append(("authorization", f"Bearer {api_key}"))
    typed = False
    for raw_name, value in headers:
        name = _FORWARDED_AS[raw_name] if raw_name in _FORWARDED_AS else _learn_forwarded(raw_name)
        if name is not None:
            passed.append((name, value.decode("latin-1")))
            typed = typed or name == "content-type"
    if not typed:
        passed.append(("content-type", "application/json"))
    return passed


def _learn_forwarded(raw_name: bytes) -> str | None:
    dropped = raw_name in _NOT_FORWARDED or raw_name.startswith((b"x-tollway-", b"x-forwarded-"))
    name = None if dropped else raw_name.decode("latin-1")
    if len(_FORWARDED_AS) < _MAX_KNOWN_NAMES:
        _FORWARDED_AS[raw_name] = name
    return name


def _learn_returned(raw_name: bytes) -> bytes | None:
    name: bytes | None = raw_name.lower()
    if name in _NOT_RETURNED or (name and name.startswith((b"access-control-", b"x-tollway-"))):
        name = None
    if name == b"x-request-id":
        name = b"x-upstream-request-id"
    if len(_RETURNED_AS) < _MAX_KNOWN_NAMES:
        _RETURNED_AS[raw_name] = name
    return name


def returned(headers: RawHeaders, request_id: bytes) -> RawHeaders:
    """The upstream's headers for the client, without the length, which is the sender's to tell; its own
    request id moves to `x-upstream-request-id`.
    """
    passed = [(b"x-request-id", request_id)]
    for raw_name, value in headers:
        name = _RETURNED_AS[raw_name] if raw_name in _RETURNED_AS else _learn_returned(raw_name)
        if name is not None:
            passed.append((name, value))
    return passed


def content_type(headers: RawHeaders) -> bytes:
    """The media type without parameters, lower case; empty when there is none."""
    for name, value in headers:
        if name.lower() == b"content-type":
            return value.partition(b";")[0].strip().lower()
    return b""
