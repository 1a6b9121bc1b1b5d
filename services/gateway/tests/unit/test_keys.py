"""What keys look like and how they are stored."""

import string

import pytest

from gateway.domain.keys import KeyFacts, KeyHasher, generate_secret, prefix_of


def test_generated_keys_are_sk_and_48_url_safe_characters_and_never_repeat() -> None:
    secrets = {generate_secret() for _ in range(1000)}
    assert len(secrets) == 1000
    for secret in secrets:
        assert len(secret) == 51
        assert secret.startswith("sk-")
        assert set(secret) <= set(string.ascii_letters + string.digits + "-_")


def test_the_prefix_shows_at_most_half_of_a_key() -> None:
    assert prefix_of("sk-abcdefghijklmnopqrstuvwxyz") == "sk-abcdefg"
    assert prefix_of("0123456789abcdef") == "01234567"


def test_a_digest_depends_on_key_and_pepper() -> None:
    digests = {KeyHasher(pepper).digest(key) for pepper in ("p" * 16, "q" * 16) for key in ("a", "b")}
    assert len(digests) == 4
    assert {len(digest) for digest in digests} == {32}


@pytest.mark.parametrize("field", [{"models": ("a",)}, {"networks": ()}, {"expires_at_s": 1.0}])
def test_a_key_with_less_than_its_owners_power_is_restricted(field: dict[str, object]) -> None:
    base = KeyFacts("k", "u", "a", "g", 1, ("relay",))
    assert not base.restricted
    assert KeyFacts("k", "u", "a", "g", 1, ("relay",), **field).restricted  # type: ignore[arg-type]
