"""Whatever a stranger sends as a JWT is refused in words, never by a crash."""

import base64
import itertools
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from joserfc.jwk import ECKey, RSAKey

from oauth.domain.errors import InvalidProofError
from oauth.domain.proofs import check_proof
from oauth.domain.signatures import UnsignedError, public_key

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
KEY = ECKey.generate_key("P-256").as_dict(private=False)
NESTED = b'{"a":' + b"[" * 2_900

HEADERS: list[Any] = [
    [],
    "x",
    None,
    {},
    {"alg": []},
    {"alg": "ES256"},
    {"alg": "ES256", "typ": "dpop+jwt", "jwk": KEY},
    {"alg": "ES256", "typ": "dpop+jwt", "jwk": KEY | {"x": 1}},
    {"alg": "ES256", "typ": "dpop+jwt", "jwk": KEY | {"x": "\u00e9", "y": "!"}},
    {"alg": "ES256", "typ": "dpop+jwt", "jwk": KEY | {"use": "enc", "key_ops": ["sign"]}},
    {"alg": "ES256", "jwk": KEY, "b64": False, "crit": ["b64"]},
    {"alg": "ES256", "jwk": KEY, "crit": [{}]},
    {"alg": "ES256", "jwk": KEY, "kid": {}},
    {"alg": "RS256", "jwk": {"kty": "RSA", "n": "A" * 342, "e": "AQAB"}},
    {"alg": "RS256", "jwk": {"kty": "RSA", "n": "_" * 342, "e": "AA"}},
    {"alg": "RS256", "jwk": {"kty": "RSA", "n": "_" * 342, "e": 5}},
    {"alg": "Ed25519", "jwk": {"kty": "OKP", "crv": [], "x": {}}},
    NESTED,
    b"\xff\xfe{",
]
PAYLOADS: list[Any] = [
    {},
    [],
    {"jti": []},
    NESTED,
    b"",
    b"\xff",
    b'{"iat":1e999,"htm":"POST","htu":"http://[::1"}',
]
SIGNATURES = ["", "A", "AAAA", "A" * 86, "A" * 5_000, "!!"]


def _segment(part: Any) -> str:
    raw = part if isinstance(part, bytes) else msgspec.json.encode(part)
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def test_no_proof_makes_the_check_crash() -> None:
    for header, payload, signature in itertools.product(HEADERS, PAYLOADS, SIGNATURES):
        text = f"{_segment(header)}.{_segment(payload)}.{signature}"
        with pytest.raises(InvalidProofError) as caught:
            check_proof(text, "POST", "http://127.0.0.1:8080/oauth/token", NOW)
        assert all(" " <= c <= "~" and c not in '"\\' for c in caught.value.message)


@pytest.mark.parametrize("bits", [2048, 4096])
def test_rsa_keys_of_the_usual_sizes_are_taken(bits: int) -> None:
    key = RSAKey.generate_key(bits)
    assert public_key(key.as_dict(private=False)).thumbprint() == key.thumbprint()


def test_a_key_that_could_keep_us_busy_is_refused_before_it_is_used() -> None:
    for jwk in (
        {"kty": "RSA", "n": "_" * 701, "e": "AQAB"},
        {"kty": "RSA", "n": "_" * 342, "e": "_" * 9},
        {"kty": "RSA", "n": "_" * 341, "e": "AQAB"},
    ):
        with pytest.raises(UnsignedError):
            public_key(jwk)
