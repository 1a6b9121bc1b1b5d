"""DPoP proofs: whoever sends a bound token holds the key it is bound to (RFC 9449 sections 4.3 and 7).

Nonces of the server (section 8) are not used: a proof counts once at each replica, within a window around its
`iat`, for one method, one URL and one token.
"""

import base64
import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from common.contracts.errors import UnavailableError
from gateway.domain.errors import InvalidProofError

ALGORITHMS = ("ES256", "ES384", "PS256", "RS256", "Ed25519")
"""As at the OAuth service, which checked the key when it bound the token to it."""
PROOF_WINDOW_S = 300
"""How far the clock of an app may be off, in either direction."""
CAPACITY = 200_000

_MAX_LENGTH = 8192
_MAX_HEADER_LENGTH = 4096
_DEFAULT_PORTS = {"https": 443, "http": 80}
_THUMBPRINT_MEMBERS = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x"), "RSA": ("e", "kty", "n")}


class _Header(msgspec.Struct):
    typ: str
    alg: str
    jwk: dict[str, Any]


class _Claims(msgspec.Struct):
    jti: str
    htm: str
    htu: str
    iat: float
    ath: str


class Proofs:
    """Checks proofs and remembers up to `capacity` of them for as long as each would count again.

    `origin` is the public URL that apps know, `now` gives Unix seconds.
    """

    def __init__(self, origin: str, now: Callable[[], float], capacity: int = CAPACITY) -> None:
        self._origin = origin.rstrip("/")
        self._now = now
        self._capacity = capacity
        self._used: OrderedDict[bytes, float] = OrderedDict()

    def check(self, proofs: Sequence[bytes], method: str, path: bytes, token: str, jkt: str) -> None:
        """Take the one proof of a request to `path` with `token`, which is bound to the thumbprint `jkt`.

        Raises InvalidProofError, or UnavailableError while too many are remembered.
        """
        if not self._origin:
            raise InvalidProofError("This installation has no public URL that proofs could be made for.")
        if len(proofs) != 1 or len(proofs[0]) > _MAX_LENGTH:
            raise InvalidProofError("The request needs one header DPoP with a proof.")
        header, claims = _read(proofs[0])
        now_s = self._now()
        if not hmac.compare_digest(_thumbprint(header.jwk).encode(), jkt.encode()):
            raise InvalidProofError("The proof is made with another key than the access token is bound to.")
        if claims.htm != method or _normal(claims.htu) != _normal(self._origin + path.decode("latin-1")):
            raise InvalidProofError("The proof was made for another request.")
        if not abs(claims.iat - now_s) <= PROOF_WINDOW_S:
            raise InvalidProofError("The proof is too old, or of the future.")
        if not hmac.compare_digest(claims.ath.encode(), _digest(token.encode()).encode()):
            raise InvalidProofError("The proof was made for another access token.")
        _verify(proofs[0], header.jwk)
        self._use(f"{jkt} {claims.jti}", claims.iat + PROOF_WINDOW_S, now_s)

    def _use(self, name: str, until_s: float, now_s: float) -> None:
        while self._used and next(iter(self._used.values())) < now_s:
            self._used.popitem(last=False)
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:16]
        if digest in self._used:
            raise InvalidProofError("The proof was used before.")
        if len(self._used) >= self._capacity:
            raise UnavailableError("Too many DPoP proofs at the moment.", retry_after_s=1)
        self._used[digest] = until_s


def _read(proof: bytes) -> tuple[_Header, _Claims]:
    """What the proof says, nothing of it verified yet."""
    parts = proof.split(b".")
    try:
        if len(parts) != 3 or len(parts[0]) > _MAX_HEADER_LENGTH:
            raise InvalidProofError("The proof is no JWT.")
        header = msgspec.json.decode(_decoded(parts[0]), type=_Header)
        claims = msgspec.json.decode(_decoded(parts[1]), type=_Claims)
    except (ValueError, msgspec.DecodeError, RecursionError):  # the last: JSON nested a thousand deep
        raise InvalidProofError("The proof is malformed or lacks a claim.") from None
    if header.typ != "dpop+jwt" or header.alg not in ALGORITHMS:
        raise InvalidProofError("The proof is of another type or signed with another algorithm.")
    if not 0 < len(claims.jti) <= 255:
        raise InvalidProofError("The proof has no usable jti.")
    return header, claims


def _verify(proof: bytes, jwk: dict[str, Any]) -> None:
    # Loaded by the first proof: most gateways never see one, and it costs 10 MB.
    from joserfc import jwk as jose_keys  # noqa: PLC0415
    from joserfc import jws  # noqa: PLC0415
    from joserfc.errors import JoseError  # noqa: PLC0415

    registry = jws.JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
    registry.max_header_length = _MAX_HEADER_LENGTH
    try:
        jws.deserialize_compact(proof, jose_keys.import_key(jwk), registry=registry)
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        raise InvalidProofError("The signature of the proof is wrong.") from None


def _thumbprint(jwk: dict[str, Any]) -> str:
    """RFC 7638; of a key that is none, one that matches nothing."""
    members = _THUMBPRINT_MEMBERS.get(str(jwk.get("kty")), ())
    return _digest(msgspec.json.encode({name: jwk.get(name) for name in members}, order="sorted"))


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def _decoded(part: bytes) -> bytes:
    return base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))


def _normal(url: str) -> tuple[str, str, int | None, str]:
    """Scheme, host, port and path: query and fragment do not count (RFC 9449 section 4.3)."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    return parts.scheme, parts.hostname or "", port or _DEFAULT_PORTS.get(parts.scheme), parts.path or "/"
