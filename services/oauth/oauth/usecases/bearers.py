"""Check the access token of a request for a resource of this service (RFC 6750, RFC 9449 section 7)."""

from collections.abc import Sequence

from oauth.domain.errors import (
    InsufficientScopeError,
    InvalidProofError,
    InvalidTokenError,
    MissingTokenError,
)
from oauth.domain.ports import Clock, Store
from oauth.domain.tokens import ACCESS_PREFIX, Digester, LiveToken
from oauth.usecases.batches import Batches
from oauth.usecases.proofs import ProofChecker


class Bearers:
    """Asks storage each time, for those that wait together at once: a token revoked anywhere is refused."""

    def __init__(self, store: Store, digester: Digester, clock: Clock, proofs: ProofChecker) -> None:
        self._digester = digester
        self._proofs = proofs

        async def find(digests: Sequence[bytes]) -> Sequence[LiveToken | None]:
            return await store.find_tokens(digests, clock())

        self._finding: Batches[bytes, LiveToken | None] = Batches(find)

    async def check(
        self, authorization: str | None, proofs: Sequence[str], method: str, path: str, scope: str
    ) -> LiveToken:
        """The token, which has `scope` and, when it is bound to a key, came with a proof by that key.

        Raises MissingTokenError, InvalidTokenError, InvalidProofError (401) and InsufficientScopeError.
        """
        scheme, _, token = (authorization or "").strip().partition(" ")
        scheme, token = scheme.lower(), token.strip()
        if scheme not in ("bearer", "dpop") or not token:
            raise MissingTokenError("An access token is needed.")
        live = None
        if token.startswith(ACCESS_PREFIX):
            live = await self._finding.submit(self._digester.digest(token))
        if live is None:
            raise InvalidTokenError("The access token is unknown, expired or revoked.")
        if (scheme == "dpop") != bool(live.token.jkt):
            raise InvalidTokenError("The access token is of the other scheme: bound to a key, or not.")
        if live.token.jkt:
            await self._check_proof(live, token, proofs, method, path)
        if scope not in live.scopes:
            raise InsufficientScopeError("The access token lacks a scope.", param=scope)
        return live

    async def _check_proof(
        self, live: LiveToken, token: str, proofs: Sequence[str], method: str, path: str
    ) -> None:
        try:
            jkt = await self._proofs.check(proofs, method, path, token)
        except InvalidProofError as error:
            raise InvalidProofError(error.message, status=401) from error
        if jkt != live.token.jkt:
            raise InvalidProofError("No DPoP proof by the key of the token.", status=401)
