"""DPoP proofs: who shows a token holds the key it is bound to (RFC 9449).

Nonces of the server (section 8) are not used: each proof counts once, within a window around its `iat`, for
one method and one URL, and at a resource for one token.
"""

import base64
import hashlib
import hmac
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import msgspec

from oauth.domain.errors import InvalidProofError
from oauth.domain.signatures import Statement, UnsignedError, public_key, read_unverified, verify

PROOF_WINDOW = timedelta(minutes=5)
"""How far the clock of an app may be off, in either direction."""
_DEFAULT_PORTS = {"https": 443, "http": 80}


class Proof(msgspec.Struct, frozen=True):
    """A proof that is right. `jkt` is the key's SHA-256 thumbprint (RFC 7638).

    The caller must see that `id` is used once until `expires_at`.
    """

    jkt: str
    id: str
    expires_at: datetime


def check_proof(proof: str, method: str, url: str, now: datetime, token: str | None = None) -> Proof:
    """The checks of section 4.3 but the one that it is used once; InvalidProofError.

    `url` is the request's, without query, under the public address; `token` the access token it comes with.
    """
    try:
        statement = read_unverified(proof)
        key = public_key(statement.header.get("jwk"))
        verify(proof, key)
        _check_claims(statement, method, url, now)
        if token is not None:
            _check_token_hash(statement, token)
        jkt, jti = key.thumbprint(), statement.text("jti")
    except UnsignedError as error:
        raise InvalidProofError(f"The DPoP proof is not accepted. {error}") from error
    return Proof(jkt, f"dpop:{jkt}:{jti}", now + 2 * PROOF_WINDOW)


def token_hash(token: str) -> str:
    """`ath` of an access token: base64url of its SHA-256."""
    return base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()


def _check_claims(statement: Statement, method: str, url: str, now: datetime) -> None:
    if statement.header.get("typ") != "dpop+jwt":
        raise UnsignedError("Its type is not dpop+jwt.")
    if statement.text("htm") != method:
        raise UnsignedError("It was made for another method.")
    if _normal(statement.text("htu", 2048)) != _normal(url):
        raise UnsignedError("It was made for another URL.")
    if abs(statement.seconds("iat") - now.timestamp()) > PROOF_WINDOW.total_seconds():
        raise UnsignedError("It is too old, or of the future.")


def _check_token_hash(statement: Statement, token: str) -> None:
    if not hmac.compare_digest(statement.text("ath").encode(), token_hash(token).encode()):
        raise UnsignedError("It was made for another token.")


def _normal(url: str) -> tuple[str, str, int | None, str]:
    """Scheme, host, port and path: query and fragment do not count (section 4.3, RFC 3986 section 6.2)."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UnsignedError("Its URL is malformed.") from error
    host = (parts.hostname or "").lower()
    return parts.scheme, host, port or _DEFAULT_PORTS.get(parts.scheme), parts.path or "/"
