"""Webhook secrets at rest: AES-256-GCM under a key derived from `secret_key` (HKDF-SHA256, RFC 5869).

The endpoint's id is authenticated with the text, so that a row's secrets cannot be moved to another endpoint.
"""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from billing.notices.domain.errors import WebhooksOffError
from common.webhooks.signatures import Secret

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12
_INFO = b"tollway billing webhook secrets v1"
_DECODER = msgspec.msgpack.Decoder(list[Secret])
_ENCODER = msgspec.msgpack.Encoder()


class VaultError(Exception):
    """The stored secrets cannot be read with this `secret_key`."""


class SecretVault:
    """Seals and opens an endpoint's secrets; without a `secret_key` both raise WebhooksOffError.

    `cryptography` (7 MB) is loaded by the first of them.
    """

    def __init__(self, secret_key: str) -> None:
        self._secret_key = secret_key
        self._cipher: AESGCM | None = None

    @property
    def is_on(self) -> bool:
        """Whether there is a key."""
        return bool(self._secret_key)

    def seal(self, endpoint: str, secrets: Sequence[Secret]) -> bytes:
        """Nonce and ciphertext."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._key().encrypt(nonce, _ENCODER.encode(secrets), endpoint.encode())

    def open(self, endpoint: str, sealed: bytes) -> list[Secret]:
        """The secrets; VaultError when they were sealed with another key or for another endpoint."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415  see the class

        try:
            text = self._key().decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], endpoint.encode())
        except InvalidTag:
            raise VaultError(f"The secrets of webhook {endpoint} do not open with this secret_key.") from None
        return _DECODER.decode(text)

    def _key(self) -> "AESGCM":
        if not self._secret_key:
            raise WebhooksOffError("Webhooks need TOLLWAY_SECRET_KEY, which this installation has not set.")
        if self._cipher is None:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415  see the class
            from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415  see the class
            from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415  see the class

            key = HKDF(SHA256(), 32, salt=None, info=_INFO).derive(self._secret_key.encode())
            self._cipher = AESGCM(key)
        return self._cipher
