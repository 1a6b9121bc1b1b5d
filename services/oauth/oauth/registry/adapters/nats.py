"""The gateway, asked by RPC."""

from common.contracts.errors import NotFoundError, ServiceError
from common.contracts.identity import USER_GET, UserGet
from common.kit.rpc import RpcClient
from oauth.domain.grants import Person


class GatewayDirectory:
    """See the Directory port."""

    def __init__(self, rpc: RpcClient) -> None:
        self._rpc = rpc

    async def find(self, user: str) -> Person | None:
        """One question."""
        try:
            found = await self._rpc.call(USER_GET, UserGet(user))
        except ServiceError as error:
            if error.error_code == NotFoundError.code:
                return None
            raise
        return Person(found.user, found.account, found.email, found.enabled)
