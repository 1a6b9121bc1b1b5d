"""The gateway, asked by RPC."""

from typing import Literal

from common.contracts.identity import KEY_DELEGATE, KeyDelegate
from common.kit.rpc import RpcClient


class GatewayDelegator:
    """See the Delegator port."""

    def __init__(self, rpc: RpcClient) -> None:
        self._rpc = rpc

    async def delegate(self, user: str, app: str, wish: Literal["get", "replace", "end"]) -> str:
        """Ask the gateway, whose keys they are."""
        answer = await self._rpc.call(KEY_DELEGATE, KeyDelegate(user, app, wish))
        return answer.secret
