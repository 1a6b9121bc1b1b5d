"""Access tokens, asked of the OAuth service over RPC."""

from common.contracts.errors import ServiceError, UnavailableError
from common.contracts.oauth import TOKEN_CHECK, TokenCheck, TokenFound
from common.kit.rpc import RpcClient


class NatsTokens:
    """See the Tokens port; `rpc` is there while the gateway runs."""

    def __init__(self) -> None:
        self.rpc: RpcClient | None = None

    async def check(self, token: str) -> TokenFound | None:
        """Whatever keeps the question from being answered is UnavailableError: nothing is known then."""
        if self.rpc is None:
            raise UnavailableError("The gateway does not run.")
        try:
            return await self.rpc.call(TOKEN_CHECK, TokenCheck(token))
        except ServiceError as error:
            if error.error_code == "invalid_token":
                return None
            raise UnavailableError("Access tokens cannot be checked right now.", retry_after_s=1) from error
