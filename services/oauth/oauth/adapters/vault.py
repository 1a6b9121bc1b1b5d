"""Secrets at rest or in an address: AES-256-GCM, keys derived from `secret_key` (HKDF-SHA256, RFC 5869)."""

import os
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12


class VaultError(ValueError):
    """The text does not open: sealed under another `secret_key`, for another use, or changed since."""


class Vault:
    """Seals what belongs to one use, `purpose`; each has a key of its own.

    `cryptography` (7 MB) is loaded when the first secret is sealed or opened.
    """

    def __init__(self, secret_key: str, purpose: str) -> None:
        self._secret_key = secret_key.encode()
        self._info = f"tollway oauth {purpose} v1".encode()

    def seal(self, of: str, plain: bytes) -> bytes:
        """Nonce and ciphertext. `of` names whose it is, so that it cannot be moved to another row."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plain, of.encode())

    def open(self, of: str, sealed: bytes) -> bytes:
        """The plain text; VaultError."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415  see the class

        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], of.encode())
        except InvalidTag:
            raise VaultError(f"The secret of {of} does not open with this secret_key.") from None

    @cached_property
    def _cipher(self) -> "AESGCM":
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415  see the class
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415  see the class
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415  see the class

        return AESGCM(HKDF(SHA256(), 32, salt=None, info=self._info).derive(self._secret_key))
