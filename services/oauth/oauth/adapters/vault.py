"""Secrets at rest: AES-256-GCM under keys derived from `secret_key` (HKDF-SHA256, RFC 5869)."""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE_BYTES = 12


class VaultError(Exception):
    """The text does not open: sealed under another `secret_key`, for another use, or changed since."""


class Vault:
    """Seals what belongs to one use, `purpose`; each has a key of its own."""

    def __init__(self, secret_key: str, purpose: str) -> None:
        info = f"tollway oauth {purpose} v1".encode()
        self._cipher = AESGCM(HKDF(SHA256(), 32, salt=None, info=info).derive(secret_key.encode()))

    def seal(self, of: str, plain: bytes) -> bytes:
        """Nonce and ciphertext. `of` names whose it is, so that it cannot be moved to another row."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plain, of.encode())

    def open(self, of: str, sealed: bytes) -> bytes:
        """The plain text; VaultError."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], of.encode())
        except InvalidTag:
            raise VaultError(f"The secret of {of} does not open with this secret_key.") from None
