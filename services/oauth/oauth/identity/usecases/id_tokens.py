"""ID tokens: who signed in, when, and to whom that is told (OpenID Connect Core section 2)."""

import msgspec

from oauth.domain.apps import App
from oauth.domain.errors import InvalidRequestError
from oauth.domain.grants import Grant, Person
from oauth.domain.ports import Clock
from oauth.domain.signatures import UnsignedError, public_key, read_unverified, verify
from oauth.domain.subjects import pairwise_subject
from oauth.domain.tokens import Digester, Family
from oauth.identity.domain.keys import ID_TOKEN_LIFETIME
from oauth.identity.usecases.keys import KeyRing


class IdTokenMint:
    """See the IdTokens port."""

    def __init__(self, keys: KeyRing, digester: Digester, clock: Clock, issuer: str) -> None:
        self._keys = keys
        self._digester = digester
        self._clock = clock
        self._issuer = issuer

    async def mint(self, app: App, grant: Grant, family: Family, person: Person) -> str:  # noqa: ARG002  the port's
        """No claim tells more than who, where and when: the rest is asked at userinfo."""
        now = self._clock()
        claims: dict[str, object] = {
            "iss": self._issuer,
            "sub": pairwise_subject(self._digester, app.client_id, person.user),
            "aud": app.client_id,
            "azp": app.client_id,
            "iat": int(now.timestamp()),
            "exp": int((now + ID_TOKEN_LIFETIME).timestamp()),
            "auth_time": int(family.auth_time.timestamp()),
        }
        if family.nonce:
            claims["nonce"] = family.nonce
        return await self._keys.sign(claims)

    async def read(self, app: App, id_token: str) -> str:
        """Signed by a key that is still published, which is a week longer than it signs."""
        try:
            statement = read_unverified(id_token)
            named = [key for key in await self._keys.published() if key.kid == statement.header.get("kid")]
            if not named or (statement.claims.get("iss"), statement.claims.get("aud")) != (
                self._issuer,
                app.client_id,
            ):
                raise UnsignedError("It is of others.")  # noqa: TRY301  told as the rest is
            verify(id_token, public_key(msgspec.json.decode(named[0].public_jwk)))
            return statement.text("sub")
        except UnsignedError as error:
            message = "The id_token_hint is not an ID token of this server for this app."
            raise InvalidRequestError(message, param="id_token_hint") from error
