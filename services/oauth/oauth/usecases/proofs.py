"""Take DPoP proofs, each once (RFC 9449 section 11.1)."""

from collections.abc import Sequence

from oauth.domain.errors import InvalidProofError
from oauth.domain.ports import Clock, Store
from oauth.domain.proofs import check_proof
from oauth.domain.tokens import Digester


class ProofChecker:
    """Proofs for URLs under `issuer`, the address that apps see, whatever this process is called inside."""

    def __init__(self, store: Store, digester: Digester, clock: Clock, issuer: str) -> None:
        self._store = store
        self._digester = digester
        self._clock = clock
        self._issuer = issuer

    async def check(self, proofs: Sequence[str], method: str, path: str, token: str | None = None) -> str:
        """The thumbprint of the key, empty when no proof was sent; InvalidProofError.

        `proofs` are the values of the DPoP header; `token` the access token they come with at a resource.
        """
        if not proofs:
            return ""
        if len(proofs) > 1:
            raise InvalidProofError("There is more than one DPoP header.")
        proof = check_proof(proofs[0], method, self._issuer + path, self._clock(), token)
        is_first = await self._store.use_proof(self._digester.digest(proof.id), proof.expires_at)
        if not is_first:
            raise InvalidProofError("The DPoP proof was used before.")
        return proof.jkt
