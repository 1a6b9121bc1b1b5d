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
)


def forwarded(headers: Iterable[tuple[bytes, bytes]], request_id: str, api_key: str) -> list[tuple[str, str]]:
    """The client's headers for the upstream, unknown ones included, with the channel's credential."""
    passed = [
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in headers
        if name not in _NOT_FORWARDED and not name.startswith((b"x-tollway-", b"x-forwarded-"))
    ]
    passed.append(("accept-encoding", "identity"))
    passed.append(("x-request-id", request_id))
    if api_key:
        passed.append(("authorization", f"Bearer {api_key}"))
    return passed


def returned(headers: RawHeaders, request_id: bytes, *, same_length: bool) -> RawHeaders:
    """The upstream's headers for the client; its own request id moves to `x-upstream-request-id`."""
    passed = [(b"x-request-id", request_id)]
    for raw_name, value in headers:
        name = raw_name.lower()
        if name in _NOT_RETURNED or name.startswith((b"access-control-", b"x-tollway-")):
            continue
        if name == b"content-length" and not same_length:
            continue
        passed.append((b"x-upstream-request-id" if name == b"x-request-id" else name, value))
    return passed


def content_type(headers: RawHeaders) -> bytes:
    """The media type without parameters, lower case; empty when there is none."""
    for name, value in headers:
        if name.lower() == b"content-type":
            return value.partition(b";")[0].strip().lower()
    return b""
