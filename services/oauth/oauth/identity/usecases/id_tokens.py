"""ID tokens: who signed in, when, and to whom that is told (OpenID Connect Core section 2)."""

from oauth.domain.apps import App
from oauth.domain.grants import Grant, Person
from oauth.domain.ports import Clock
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
