"""Keys at rest."""

import pytest

from chat_relay.adapters.vault import KeyVault, VaultError

SECRET = "0123456789abcdef"


def test_what_was_sealed_opens_again_and_never_looks_the_same() -> None:
    vault = KeyVault(SECRET)
    first, second = vault.seal("a", ("k1", "k2")), vault.seal("a", ("k1", "k2"))
    assert first != second
    assert KeyVault(SECRET).open("a", first) == ("k1", "k2")


def test_another_secret_another_channel_or_a_changed_byte_does_not_open() -> None:
    sealed = KeyVault(SECRET).seal("a", ("k1",))
    for vault, name, data in (
        (KeyVault(SECRET + "x"), "a", sealed),
        (KeyVault(SECRET), "b", sealed),
        (KeyVault(SECRET), "a", sealed[:-1] + bytes([sealed[-1] ^ 1])),
    ):
        with pytest.raises(VaultError):
            vault.open(name, data)


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        KeyVault("short")
