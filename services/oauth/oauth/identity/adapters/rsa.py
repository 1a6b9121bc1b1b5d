"""RS256 by joserfc, in threads: a key takes 0.1 to 1 s to make, a signature 0.7 ms, during which others run.

joserfc and what it stands on (10 MB) are loaded by the first key that is made or signs.
"""

import asyncio
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from oauth.adapters.vault import Vault, VaultError
from oauth.identity.domain.keys import SigningKey

if TYPE_CHECKING:
    from joserfc.jwk import RSAKey

ALGORITHM = "RS256"
_BITS = 2048


class RsaSigner:
    """See the Signer port; private keys that were opened stay in memory."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._opened: dict[str, RSAKey] = {}
        # One: several that sign at once and the loop cost each other a third more than they gain.
        self._thread = ThreadPoolExecutor(1, "signatures")

    async def make(self, created_at: datetime, active_at: datetime) -> SigningKey:
        """Named by its thumbprint (RFC 7638)."""
        from joserfc.jwk import RSAKey  # noqa: PLC0415  see the module

        key = await asyncio.to_thread(RSAKey.generate_key, _BITS)
        kid = key.thumbprint()
        public: dict[str, Any] = dict(key.as_dict(private=False))
        public |= {"kid": kid, "use": "sig", "alg": ALGORITHM}
        return SigningKey(
            kid=kid,
            public_jwk=msgspec.json.encode(public).decode(),
            sealed=self._vault.seal(kid, key.as_pem(private=True)),
            created_at=created_at,
            active_at=active_at,
        )

    def can_open(self, key: SigningKey) -> bool:
        """False under another `secret_key`."""
        if key.kid in self._opened:
            return True
        try:
            self._vault.open(key.kid, key.sealed)
        except VaultError:
            return False
        return True

    async def sign(self, key: SigningKey, claims: Mapping[str, object]) -> str:
        """VaultError under another `secret_key`."""
        header = {"typ": "JWT", "alg": ALGORITHM, "kid": key.kid}
        signed = b".".join(_base64url(msgspec.json.encode(part)) for part in (header, claims))
        signature = await asyncio.get_running_loop().run_in_executor(self._thread, self._sign, key, signed)
        return (signed + b"." + _base64url(signature)).decode()

    def _sign(self, key: SigningKey, signed: bytes) -> bytes:
        from joserfc.jwk import RSAKey  # noqa: PLC0415  see the module
        from joserfc.jws import JWSRegistry  # noqa: PLC0415  see the module

        private = self._opened.get(key.kid)
        if private is None:
            private = self._opened[key.kid] = RSAKey.import_key(self._vault.open(key.kid, key.sealed))
        return JWSRegistry.algorithms[ALGORITHM].sign(signed, private)


def _base64url(part: bytes) -> bytes:
    return urlsafe_b64encode(part).rstrip(b"=")
