"""The call about spenders over RPC."""

from billing.domain.ports import Clock, SpenderReader
from billing.usecases.spenders import read_spenders
from common.contracts.spenders import SPENDERS_READ, SpendersRead, SpendersState, SpenderUse
from common.kit.rpc import RpcServer


def add_spender_methods(server: RpcServer, spenders: SpenderReader, clock: Clock) -> None:
    """Serve it."""

    async def read(request: SpendersRead) -> SpendersState:
        found = await read_spenders(spenders, clock, request.spenders)
        return SpendersState(
            tuple(SpenderUse(one.id, one.period, one.timezone, one.used_nano, one.held_nano) for one in found)
        )

    server.add(SPENDERS_READ, read)
