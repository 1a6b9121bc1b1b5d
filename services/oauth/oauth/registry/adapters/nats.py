"""The gateway and the ledger, asked by RPC."""

import logging
from collections.abc import Sequence

from common.contracts.errors import NotFoundError, ServiceError
from common.contracts.identity import USER_GET, UserGet
from common.contracts.spenders import SPENDERS_READ, SpendersRead
from common.kit.rpc import RpcClient
from oauth.domain.grants import Person
from oauth.registry.domain.uses import Use

_LOG = logging.getLogger(__name__)
_LEDGER_TIMEOUT_S = 2.0


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


class BillingLedger:
    """See the Ledger port."""

    def __init__(self, rpc: RpcClient) -> None:
        self._rpc = rpc

    async def read_uses(self, grants: Sequence[str]) -> dict[str, Use] | None:
        """One question for all, of two seconds at most: a list without figures beats none."""
        if not grants:
            return {}
        try:
            found = await self._rpc.call(SPENDERS_READ, SpendersRead(tuple(grants)), _LEDGER_TIMEOUT_S)
        except ServiceError as error:
            _LOG.warning("what grants have used cannot be read: %s", error.error_code)
            return None
        return {
            one.spender: Use(one.period, one.timezone, one.used_nano + one.held_nano)
            for one in found.spenders
        }
