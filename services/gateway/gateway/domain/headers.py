"""Which headers cross the gateway, in both directions (RFC 9110 section 7.6, RFC 9112 section 6).

Inbound: what belongs to one hop, credentials, anything that claims to come from the gateway itself
(`x-tollway-*`, in any spelling that a server behind might read as such) and claims about addresses stay out.
Outbound: what belongs to one hop, and what the gateway says itself.
"""

from collections.abc import Iterable, Sequence

import msgspec

from common.kit.ids import is_request_id
from gateway.domain.credentials import CREDENTIAL_HEADERS, key_of_header

RawHeaders = Sequence[tuple[bytes, bytes]]

RESERVED_PREFIX = b"x-tollway-"
PROOF_HEADER = b"dpop"

_HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
# `host` is the service's own; `expect` is answered here; addresses are established from the socket.
_NOT_FORWARDED = (
    b"host",
    b"expect",
    b"forwarded",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-port",
    b"x-forwarded-proto",
    b"x-real-ip",
    b"sec-websocket-key",
    b"sec-websocket-version",
    b"sec-websocket-extensions",
)
_DROP, _CONNECTION, _LENGTH, _REQUEST_ID, _ADDRESS, _COOKIE, _PROOF, _CREDENTIAL = range(8)
_ACTIONS = (
    dict.fromkeys(_HOP_BY_HOP, _DROP)
    | dict.fromkeys(_NOT_FORWARDED, _DROP)
    | {
        b"connection": _CONNECTION,
        b"content-length": _LENGTH,
        b"x-request-id": _REQUEST_ID,
        b"x-forwarded-for": _ADDRESS,
        b"cookie": _COOKIE,
        PROOF_HEADER: _PROOF,
    }
    | {name: _CREDENTIAL + rank for rank, name in enumerate(CREDENTIAL_HEADERS)}
)
_ORDINARY_CONNECTION = frozenset((b"keep-alive", b"close", b"upgrade", b""))
_NOT_RETURNED = _HOP_BY_HOP | {b"date", b"server", b"x-request-id"}


class Inbound(msgspec.Struct):
    """What one pass over a request's headers finds.

    `forward` are the headers to send on, `length` the Content-Length, `key` the best credential, `request_id`
    the client's when it is a sane token, `forwarded_for` the raw X-Forwarded-For values in order. `cookies`
    are for pages only: they hold the session, which no other service may see. `authorization` and `proofs`
    are the headers Authorization and DPoP as they came: for the OAuth service, which has clients of its own.
    """

    forward: list[tuple[bytes, bytes]]
    length: bytes | None = None
    key: str | None = None
    request_id: str | None = None
    forwarded_for: list[str] = []
    cookies: list[tuple[bytes, bytes]] = []
    authorization: list[tuple[bytes, bytes]] = []
    proofs: list[tuple[bytes, bytes]] = []

    @property
    def by_proof(self) -> bool:
        """Whether the credential is sent under the scheme DPoP (RFC 9449 section 7.1)."""
        return any(value[:5].lower() == b"dpop " for _, value in self.authorization)

    def header(self, name: bytes) -> bytes | None:
        """The first value of a forwarded header, by its lower-case name."""
        for known, value in self.forward:
            if known == name:
                return value
        return None


def read_headers(headers: Iterable[tuple[bytes, bytes]]) -> Inbound:
    """One pass over ASGI request headers (lower-case names)."""
    inbound = Inbound([])
    forward = inbound.forward
    special = []
    for pair in headers:
        name = pair[0]
        if name in _ACTIONS:
            special.append(pair)
        elif not (name.startswith(RESERVED_PREFIX) or (b"_" in name and _imitates(name))):
            forward.append(pair)
    if special:
        _read_special(inbound, special)
    return inbound


def _read_special(inbound: Inbound, headers: RawHeaders) -> None:
    best = len(_ACTIONS)
    named: set[bytes] = set()
    kept = {_COOKIE: inbound.cookies, _PROOF: inbound.proofs, _CREDENTIAL: inbound.authorization}
    for name, value in headers:
        action = _ACTIONS[name]
        if action in kept:
            kept[action].append((name, value))
        if action >= _CREDENTIAL:
            if action < best and (key := key_of_header(name, value.decode("latin-1"))):
                inbound.key, best = key, action
        elif action == _CONNECTION:
            named |= {token.strip().lower() for token in value.split(b",")} - _ORDINARY_CONNECTION
        elif action == _LENGTH:
            inbound.length = value
        elif action == _REQUEST_ID:
            text = value.decode("latin-1")
            inbound.request_id = text if is_request_id(text) else None
        elif action == _ADDRESS:
            inbound.forwarded_for.append(value.decode("latin-1"))
    if named:
        inbound.forward = [pair for pair in inbound.forward if pair[0] not in named]


def returned_headers(headers: RawHeaders) -> list[tuple[bytes, bytes]]:
    """The headers of a service's answer that reach the client, repeated ones included.

    CORS headers are the gateway's to say, so those of a service are left out.
    """
    kept = []
    for pair in headers:
        name = pair[0].lower()
        if name not in _NOT_RETURNED and not name.startswith(b"access-control-"):
            kept.append(pair)
    return kept


def _imitates(name: bytes) -> bool:
    """Whether a name with underscores reads as one that is not forwarded once `_` is taken for `-`."""
    dashed = name.replace(b"_", b"-")
    return dashed.startswith(RESERVED_PREFIX) or dashed in _ACTIONS
