"""Upstream keys at rest: AES-256-GCM under a key derived from `secret_key` (HKDF-SHA256, RFC 5869).

The channel's name is authenticated with the text, so that a row's keys cannot be moved to another channel.
"""

import os

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE_BYTES = 12
_MIN_SECRET_BYTES = 16
_INFO = b"tollway chat-relay channel keys v1"


class VaultError(Exception):
    """The stored keys cannot be read with this `secret_key`."""


class KeyVault:
    """Seals and opens lists of keys. Raises ValueError for a `secret_key` under 16 bytes."""

    def __init__(self, secret_key: str) -> None:
        if len(secret_key.encode()) < _MIN_SECRET_BYTES:
            raise ValueError("secret_key must have at least 16 bytes")
        key = HKDF(SHA256(), 32, salt=None, info=_INFO).derive(secret_key.encode())
        self._cipher = AESGCM(key)

    def seal(self, name: str, api_keys: tuple[str, ...]) -> bytes:
        """Nonce and ciphertext."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, msgspec.msgpack.encode(api_keys), name.encode())

    def open(self, name: str, sealed: bytes) -> tuple[str, ...]:
        """The keys; VaultError when they were sealed with another secret or for another name."""
        try:
            text = self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], name.encode())
        except InvalidTag:
            raise VaultError(f"The keys of channel '{name}' do not open with this secret_key.") from None
        return msgspec.msgpack.decode(text, type=tuple[str, ...])
