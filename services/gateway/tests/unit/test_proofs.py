"""A proof counts once, by the right key, for one request and one token, and only for a while."""

import base64
import hashlib
from typing import Any

import pytest
from joserfc import jwk, jwt

from common.contracts.errors import UnavailableError
from common.testing.clock import FakeClock
from gateway.domain.errors import InvalidProofError
from gateway.domain.proofs import PROOF_WINDOW_S, Proofs

ORIGIN = "https://ai.example.com"
PATH = "/v1/chat/completions"
TOKEN = "toa_bound"


def _ath(token: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()


class Holder:
    """An app that holds a private key and makes proofs with it."""

    def __init__(self, clock: FakeClock, key: Any = None, algorithm: str = "ES256") -> None:
        self.key = key or jwk.ECKey.generate_key("P-256")
        self._clock = clock
        self._algorithm = algorithm
        self._made = 0

    @property
    def jkt(self) -> str:
        return self.key.thumbprint()

    def proof(self, header: dict[str, Any] | None = None, **claims: Any) -> bytes:
        """A right proof but for what is given; None leaves a claim out."""
        self._made += 1
        public = self.key.as_dict(private=False)
        head = {"typ": "dpop+jwt", "alg": self._algorithm, "jwk": public} | (header or {})
        body = {
            "jti": f"proof-{self._made}",
            "htm": "POST",
            "htu": ORIGIN + PATH,
            "iat": int(self._clock.time()),
            "ath": _ath(TOKEN),
        } | claims
        said = {name: value for name, value in body.items() if value is not None}
        made = jwt.encode(head, said, self.key, algorithms=[self._algorithm])
        return made.encode()


@pytest.fixture
def holder(clock: FakeClock) -> Holder:
    return Holder(clock)


@pytest.fixture
def proofs(clock: FakeClock) -> Proofs:
    return Proofs(ORIGIN, clock.time)


def _check(proofs: Proofs, holder: Holder, *sent: bytes, path: str = PATH) -> None:
    proofs.check(sent, "POST", path.encode(), TOKEN, holder.jkt)


@pytest.mark.parametrize(
    ("kind", "size", "algorithm"),
    [
        (jwk.ECKey, "P-256", "ES256"),
        (jwk.ECKey, "P-384", "ES384"),
        (jwk.RSAKey, 2048, "RS256"),
        (jwk.RSAKey, 2048, "PS256"),
        (jwk.OKPKey, "Ed25519", "Ed25519"),
    ],
)
def test_every_algorithm_that_is_offered_works(
    proofs: Proofs, clock: FakeClock, kind: Any, size: Any, algorithm: str
) -> None:
    holder = Holder(clock, kind.generate_key(size), algorithm)
    _check(proofs, holder, holder.proof())


def test_a_proof_counts_once_and_again_under_another_name(
    proofs: Proofs, holder: Holder, clock: FakeClock
) -> None:
    proof = holder.proof()
    _check(proofs, holder, proof)
    with pytest.raises(InvalidProofError, match="used before"):
        _check(proofs, holder, proof)
    _check(proofs, holder, holder.proof())
    other = Holder(clock)
    _check(proofs, other, other.proof(jti="proof-1"))


def test_a_proof_is_remembered_for_as_long_as_it_would_count(
    proofs: Proofs, holder: Holder, clock: FakeClock
) -> None:
    early = holder.proof(iat=clock.time() + PROOF_WINDOW_S)
    _check(proofs, holder, early)
    clock.advance(2 * PROOF_WINDOW_S - 1)
    _check(proofs, holder, holder.proof())
    with pytest.raises(InvalidProofError, match="used before"):
        _check(proofs, holder, early)
    clock.advance(2)
    with pytest.raises(InvalidProofError, match="too old"):
        _check(proofs, holder, early)


@pytest.mark.parametrize(
    "wrong",
    [
        {"htm": "GET"},
        {"htu": "https://evil.example.com" + PATH},
        {"htu": "http://ai.example.com" + PATH},
        {"htu": "https://ai.example.com:8443" + PATH},
        {"htu": ORIGIN + "/v1/models"},
        {"htu": "https://ai.example.com:port/"},
        {"iat": 1},
        {"iat": 2**40},
        {"iat": "now"},
        {"ath": None},
        {"ath": _ath("toa_other")},
        {"jti": None},
        {"jti": ""},
        {"jti": "x" * 256},
    ],
)
def test_a_proof_for_anything_else_is_refused(proofs: Proofs, holder: Holder, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidProofError):
        _check(proofs, holder, holder.proof(**wrong))


@pytest.mark.parametrize("htu", [ORIGIN + PATH + "?stream=1#top", "HTTPS://AI.example.com:443" + PATH])
def test_a_url_counts_without_query_and_however_its_host_is_written(
    proofs: Proofs, holder: Holder, htu: str
) -> None:
    _check(proofs, holder, holder.proof(htu=htu))


def test_the_type_the_key_and_the_signature_must_be_right(
    proofs: Proofs, holder: Holder, clock: FakeClock
) -> None:
    stranger = Holder(clock)
    public = holder.key.as_dict(private=False)
    good = holder.proof()
    for wrong in (
        stranger.proof(),
        stranger.proof({"jwk": public}),
        holder.proof({"typ": "JWT"}),
        good[:-8] + b"AAAAAAAA",
        good.replace(b".", b".."),
        b"",
        b"a.b.c",
        b"e30.e30.",
        b"\xff.\xff.\xff",
        b"x" * 9000,
    ):
        with pytest.raises(InvalidProofError):
            _check(proofs, holder, wrong)
    _check(proofs, holder, good)


def test_a_shared_secret_or_no_algorithm_proves_nothing(proofs: Proofs, clock: FakeClock) -> None:
    holder = Holder(clock, jwk.OctKey.generate_key(256), "HS256")
    with pytest.raises(InvalidProofError):
        _check(proofs, holder, holder.proof())
    right = Holder(clock)
    _, body, _ = right.proof().split(b".")
    unsigned = base64.urlsafe_b64encode(b'{"typ":"dpop+jwt","alg":"none","jwk":{"kty":"EC"}}').rstrip(b"=")
    with pytest.raises(InvalidProofError):
        _check(proofs, right, unsigned + b"." + body + b".")


def test_json_nested_deeper_than_we_read_is_refused_and_no_error_of_ours(
    proofs: Proofs, holder: Holder
) -> None:
    head, body, signature = holder.proof().split(b".")
    deep = base64.urlsafe_b64encode(b'{"typ":' + b"[" * 2_500).rstrip(b"=")
    for sent in (b".".join((deep, body, signature)), b".".join((head, deep, signature))):
        with pytest.raises(InvalidProofError):
            _check(proofs, holder, sent)


def test_none_and_two_proofs_are_refused(proofs: Proofs, holder: Holder) -> None:
    with pytest.raises(InvalidProofError):
        _check(proofs, holder)
    with pytest.raises(InvalidProofError):
        _check(proofs, holder, holder.proof(), holder.proof())


def test_the_memory_is_bounded_and_never_forgets_early(clock: FakeClock, holder: Holder) -> None:
    proofs = Proofs(ORIGIN, clock.time, capacity=3)
    for _ in range(3):
        _check(proofs, holder, holder.proof())
    with pytest.raises(UnavailableError):
        _check(proofs, holder, holder.proof())
    clock.advance(PROOF_WINDOW_S + 1)
    _check(proofs, holder, holder.proof())


def test_without_a_public_url_no_proof_can_be_right(clock: FakeClock, holder: Holder) -> None:
    with pytest.raises(InvalidProofError, match="public URL"):
        _check(Proofs("", clock.time), holder, holder.proof())
