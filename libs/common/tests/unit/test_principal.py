"""The signed principal: nobody but the gateway makes one, and it does not last."""

import time

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.contracts.errors import InvalidKeyError
from common.contracts.principals import Budget, Limits, Principal
from common.kit.principal import PrincipalSigner

OLD = "k1:0123456789abcdef"
NEW = "k2:fedcba9876543210"


def principal(expires_in_s: int = 60) -> Principal:
    return Principal(
        account="a",
        user="u",
        spender="s",
        group="default",
        rate_micro=1_000_000,
        request_id="request-1",
        expires_at_s=int(time.time()) + expires_in_s,
        models=("gpt-*", "o1"),
        limits=Limits(tpm=5, budget=Budget(7, "day")),
    )


def test_a_signed_principal_is_read_back_whole() -> None:
    signer = PrincipalSigner(OLD)
    sent = principal()
    assert signer.verify(signer.sign(sent)) == sent


def test_it_fits_a_header() -> None:
    header = PrincipalSigner(OLD).sign(principal())
    assert header.isascii()
    assert not set(header) & set(b" \r\n,;")


HEADER = PrincipalSigner(OLD).sign(principal(3600))


@pytest.mark.parametrize("position", range(len(HEADER)))
def test_no_byte_of_it_can_be_changed(position: int) -> None:
    signer = PrincipalSigner(OLD)
    for flip in (1, 0x20, 0x80):
        forged = HEADER[:position] + bytes([HEADER[position] ^ flip]) + HEADER[position + 1 :]
        with pytest.raises(InvalidKeyError):
            signer.verify(forged)


@given(st.binary(max_size=80))
@settings(max_examples=200)
def test_noise_is_refused_and_nothing_else_happens(noise: bytes) -> None:
    signer = PrincipalSigner(OLD)
    for header in (noise, b"k1." + noise, HEADER + noise + b"=", HEADER[: len(noise)]):
        with pytest.raises(InvalidKeyError):
            signer.verify(header)


def test_an_expired_principal_is_refused() -> None:
    signer = PrincipalSigner(OLD)
    with pytest.raises(InvalidKeyError, match="expired"):
        signer.verify(signer.sign(principal(-1)))


def test_both_keys_verify_during_rotation_and_the_first_one_signs() -> None:
    before, during, after = PrincipalSigner(OLD), PrincipalSigner(f"{NEW}, {OLD}"), PrincipalSigner(NEW)
    assert during.verify(before.sign(principal()))
    assert after.verify(during.sign(principal()))
    with pytest.raises(InvalidKeyError):
        after.verify(before.sign(principal()))


def test_another_secret_under_the_same_key_id_is_a_forgery() -> None:
    forger = PrincipalSigner("k1:another-secret-of-16")
    with pytest.raises(InvalidKeyError):
        PrincipalSigner(OLD).verify(forger.sign(principal()))


@pytest.mark.parametrize("keys", ["", " , ", "k1", "k1:short", ":0123456789abcdef", "k.1:0123456789abcdef"])
def test_a_weak_or_malformed_key_stops_the_service_and_is_not_shown(keys: str) -> None:
    with pytest.raises(ValueError, match="principal key") as caught:
        PrincipalSigner(keys)
    assert "short" not in str(caught.value)


def test_what_was_signed_but_is_no_principal_is_refused() -> None:
    signer = PrincipalSigner(OLD)
    signer._encoder = msgspec.msgpack.Encoder(enc_hook=lambda _: ["not", "one"])
    with pytest.raises(InvalidKeyError, match="cannot be read"):
        signer.verify(signer.sign(object()))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("models", "model", "allowed"),
    [
        (None, "anything", True),
        ((), "anything", False),
        (("gpt-4o",), "gpt-4o", True),
        (("gpt-4o",), "gpt-4o-mini", False),
        (("gpt-*",), "gpt-4o", True),
        (("gpt-*",), "o1", False),
        (("*",), "o1", True),
    ],
)
def test_the_model_list_decides(models: tuple[str, ...] | None, model: str, allowed: object) -> None:
    assert msgspec.structs.replace(principal(), models=models).allows_model(model) is allowed
