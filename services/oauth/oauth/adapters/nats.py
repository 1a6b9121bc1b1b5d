"""The gateway, asked by RPC."""

from common.contracts.errors import ServiceError
from common.contracts.identity import SESSION_CHECK, SessionCheck, SessionFound
from common.kit.rpc import RpcClient

_NOT_SIGNED_IN = "not_signed_in"


class GatewayBrowsers:
    """See the Browsers port."""

    def __init__(self, rpc: RpcClient) -> None:
        self._rpc = rpc

    async def find_session(self, token: str) -> SessionFound | None:
        """Ask the gateway, which alone knows sessions."""
        try:
            return await self._rpc.call(SESSION_CHECK, SessionCheck(token))
        except ServiceError as error:
            if error.error_code == _NOT_SIGNED_IN:
                return None
            raise
