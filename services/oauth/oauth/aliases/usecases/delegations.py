"""The dialect's management token: a key to the person's account, for apps that were allowed one by name."""

from collections.abc import Mapping
from typing import Literal

from common.contracts.errors import ConflictError
from oauth.aliases.domain.ports import Delegator
from oauth.domain.errors import InvalidTokenError
from oauth.domain.ports import Clock, Store
from oauth.domain.tokens import LiveToken


class Delegations:
    """Resources of the scope `management_token`; the operator opens them by a setting."""

    def __init__(self, store: Store, delegator: Delegator, clock: Clock) -> None:
        self._store = store
        self._delegator = delegator
        self._clock = clock

    async def get(self, token: LiveToken, _: Mapping[str, object], __: str) -> Mapping[str, object]:
        """The key when there was none yet; ConflictError afterwards, since nobody can read it again."""
        secret = await self._delegate(token, "get")
        if not secret:
            raise ConflictError("The management token was shown when it was made; reset it for another.")
        return {"token": secret}

    async def reset(self, token: LiveToken, _: Mapping[str, object], __: str) -> Mapping[str, object]:
        """Another key; the one before is dead at once."""
        return {"token": await self._delegate(token, "replace")}

    async def _delegate(self, token: LiveToken, wish: Literal["get", "replace"]) -> str:
        user, app = token.person.user, token.app.client_id
        secret = await self._delegator.delegate(user, app, wish)
        # A grant that ended meanwhile may have ended its key before this one was made.
        if await self._store.find_token(token.token.digest, self._clock()) is None:
            await self._delegator.delegate(user, app, "end")
            raise InvalidTokenError("The access token is unknown, expired or revoked.")
        return secret
