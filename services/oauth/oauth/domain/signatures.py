"""Signed statements of apps: JWTs by keys that only the app holds (RFC 7519, RFC 8725).

Only asymmetric algorithms of the list below, so that no public key is ever taken for a shared secret and
`none` signs nothing. EdDSA goes by its name of RFC 9864. joserfc and what it stands on (10 MB) are loaded by
the first app that signs anything.
"""

import math
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from joserfc.jwk import Key
    from joserfc.jws import JWSRegistry

ALGORITHMS = ("ES256", "ES384", "PS256", "RS256", "Ed25519")
_MAX_LENGTH = 8192
_MAX_PARAMETER_LENGTH = 700
"""Characters of a key's parameter: 4,096 bits of RSA. More would let a stranger keep us busy."""
_MIN_MODULUS_LENGTH = 342
"""Characters of 2,048 bits of RSA."""
_MAX_EXPONENT_LENGTH = 8
_PRIVATE = frozenset(("d", "p", "q", "dp", "dq", "qi", "oth", "k"))


class UnsignedError(Exception):
    """The text is no JWT that the key signed; the message says why and repeats nothing of the text."""


class Statement(msgspec.Struct, frozen=True):
    """Header and claims of a JWT."""

    header: dict[str, Any]
    claims: dict[str, Any]

    def text(self, name: str, longest: int = 255) -> str:
        """A claim that is printable text of 1 to `longest` characters; UnsignedError otherwise."""
        value = self.claims.get(name)
        if not isinstance(value, str) or not 0 < len(value) <= longest or not value.isprintable():
            raise UnsignedError(f"The claim {name} is missing or malformed.")
        return value

    def seconds(self, name: str) -> float:
        """A claim that is a NumericDate (RFC 7519 section 2); UnsignedError otherwise."""
        value = self.claims.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise UnsignedError(f"The claim {name} is missing or malformed.")
        return value


def read_unverified(token: str) -> Statement:
    """Header and claims as they are written, for finding the key; UnsignedError when it is no JWT."""
    from joserfc.jws import extract_compact  # noqa: PLC0415  see the module

    if len(token) > _MAX_LENGTH or not token.isascii():
        raise UnsignedError("The JWT is too long or malformed.")
    try:
        parts = extract_compact(token.encode(), registry=_registry())
        header = parts.headers()
        claims = msgspec.json.decode(parts.payload or b"", type=dict[str, Any])
    except _malformed() as error:
        raise UnsignedError("The JWT is malformed.") from error
    if header.get("alg") not in ALGORITHMS:
        raise UnsignedError("The JWT is signed with an algorithm that is not accepted.")
    return Statement(header, claims)


def verify(token: str, key: "Key") -> None:
    """UnsignedError unless `key` signed `token` with an algorithm that is its own."""
    from joserfc import jwt  # noqa: PLC0415  see the module

    try:
        jwt.decode(token, key, registry=_registry())
    except _malformed() as error:
        raise UnsignedError("The signature is wrong.") from error


def public_key(jwk: object) -> "Key":
    """A public key of RFC 7517; UnsignedError for a private, shared, weak, huge or malformed one."""
    from joserfc.jwk import import_key  # noqa: PLC0415  see the module

    if not isinstance(jwk, Mapping) or jwk.get("kty") not in ("EC", "RSA", "OKP"):
        raise UnsignedError("The key is not an asymmetric JSON Web Key.")
    if not _PRIVATE.isdisjoint(jwk):
        raise UnsignedError("The key is private.")
    if any(len(value) > _MAX_PARAMETER_LENGTH for value in jwk.values() if isinstance(value, str)):
        raise UnsignedError("The key is too large.")
    if len(str(jwk.get("e", ""))) > _MAX_EXPONENT_LENGTH:
        raise UnsignedError("The key's exponent is too large.")
    if jwk["kty"] == "RSA" and len(str(jwk.get("n", ""))) < _MIN_MODULUS_LENGTH:
        raise UnsignedError("The key is too weak.")
    try:
        return import_key(dict(jwk))
    except _malformed() as error:
        raise UnsignedError("The key is malformed.") from error


@cache
def _registry() -> "JWSRegistry":
    from joserfc.jws import JWSRegistry  # noqa: PLC0415  see the module

    class Registry(JWSRegistry):
        """Headers may hold a key of RSA; members nobody knows are ignored (RFC 7515 section 4)."""

        max_header_length = 4096

    return Registry(algorithms=ALGORITHMS, strict_check_header=False)


def _malformed() -> tuple[type[Exception], ...]:
    """What the parsers raise on text that a stranger made: JSON nested a thousand deep is one of them."""
    from joserfc.errors import JoseError  # noqa: PLC0415  see the module

    return JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError
