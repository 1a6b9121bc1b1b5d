"""The keyed digest under which everything that was handed out is found."""

import hmac

import pytest

from oauth.domain.tokens import Digester


@pytest.mark.parametrize("pepper", ["", "k", "ö" * 31, "k" * 63, "k" * 64, "k" * 65, "k" * 200])
@pytest.mark.parametrize("secret", ["", "toa_x", "é", "x" * 500])
def test_it_is_hmac_sha256_whatever_the_length_of_the_pepper(pepper: str, secret: str) -> None:
    digester = Digester(pepper)
    for _ in range(2):
        assert digester.digest(secret) == hmac.digest(pepper.encode(), secret.encode(), "sha256")
